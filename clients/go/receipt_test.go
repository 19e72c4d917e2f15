package reli

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "reli.dev/client/gen/reli/ledger/v1"
	tradev1 "reli.dev/client/gen/reli/trade/v1"
	typev1 "reli.dev/client/gen/reli/type/v1"
)

// The key of the example in docs/books.md, whose seed is the bytes 0 to 31.
const (
	exampleKeyID  = "1IG2tMH7J2wbJZnOf8LJzQitKf7LMvoAElsuDMVM54Y"
	exampleSeed   = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	examplePublic = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"
)

func exampleKeys() []*ledgerv1.JsonWebKey {
	other := &ledgerv1.JsonWebKey{Kty: "OKP", Crv: "Ed25519", X: "other", Kid: "other", Use: "sig", Alg: "EdDSA"}
	return []*ledgerv1.JsonWebKey{other, {
		Kty: "OKP", Crv: "Ed25519", X: examplePublic, Kid: exampleKeyID, Use: "sig", Alg: "EdDSA",
	}}
}

func exampleEvidence() *tradev1.TradeEvidence {
	return &tradev1.TradeEvidence{Content: []byte(`{"type":"reli.evidence.v1"}`)}
}

func exampleContent() map[string]any {
	digest := sha256.Sum256(exampleEvidence().GetContent())
	return map[string]any{
		"type": "reli.receipt.v1", "key_id": exampleKeyID, "tenant_id": "tenant_1",
		"trade_id": "trade_1", "quote_id": "quote_1", "customer_id": "customer_1",
		"instrument": "BTC-NGN", "side": "buy",
		"base":      map[string]any{"asset": "BTC", "value": "0.01000000"},
		"quote":     map[string]any{"asset": "NGN", "value": "1503000.00"},
		"quoted_at": "2026-03-02T09:30:00.000000Z", "expires_at": "2026-03-02T09:30:10.500000Z",
		"accepted_at": "2026-03-02T09:30:01.000005Z", "ended_at": "2026-03-02T09:30:02.999999Z",
		"state": "settled", "rejection_reason": "",
		"paid":          map[string]any{"asset": "NGN", "value": "1503000.00"},
		"received":      map[string]any{"asset": "BTC", "value": "0.01000000"},
		"hold_entry_id": "019cade2-11c0-7000-8000-000000000010", "final_entry_id": "019cade2-11c0-7000-8000-000000000020",
		"evidence_digest": hex.EncodeToString(digest[:]),
	}
}

// exampleReceipt returns what the platform would answer, had it signed this content.
func exampleReceipt(t *testing.T, content map[string]any) *tradev1.TradeReceipt {
	t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := base64.RawURLEncoding.DecodeString(exampleSeed)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(exampleEvidence().GetContent())
	at := func(second, microsecond int) *timestamppb.Timestamp {
		return timestamppb.New(time.Date(2026, 3, 2, 9, 30, second, microsecond*1000, time.UTC))
	}
	return &tradev1.TradeReceipt{
		TradeId: "trade_1", QuoteId: "quote_1", CustomerId: "customer_1",
		Instrument: "BTC-NGN", Side: typev1.Side_SIDE_BUY,
		BaseAmount:  &typev1.Amount{Value: "0.01000000", Asset: "BTC"},
		QuoteAmount: &typev1.Amount{Value: "1503000.00", Asset: "NGN"},
		QuoteTime:   at(0, 0), ExpireTime: at(10, 500_000), AcceptTime: at(1, 5), EndTime: at(2, 999_999),
		State:          tradev1.TradeState_TRADE_STATE_SETTLED,
		PaidAmount:     &typev1.Amount{Value: "1503000.00", Asset: "NGN"},
		ReceivedAmount: &typev1.Amount{Value: "0.01000000", Asset: "BTC"},
		HoldEntryId:    "019cade2-11c0-7000-8000-000000000010", FinalEntryId: "019cade2-11c0-7000-8000-000000000020",
		EvidenceDigest: digest[:], Content: text, MakeTime: at(3, 0), KeyId: exampleKeyID,
		Signature: ed25519.Sign(ed25519.NewKeyFromSeed(seed), text),
	}
}

func TestAReceiptHoldsWithItsEvidence(t *testing.T) {
	receipt := exampleReceipt(t, exampleContent())
	if err := VerifyReceipt(receipt, exampleKeys()); err != nil {
		t.Error(err)
	}
	if err := VerifyReceiptWithEvidence(receipt, exampleKeys(), exampleEvidence()); err != nil {
		t.Error(err)
	}
}

func TestAReceiptOfARejectedTradeHolds(t *testing.T) {
	content := exampleContent()
	content["state"], content["rejection_reason"] = "rejected", "EXECUTION_WINDOW_PASSED"
	content["paid"], content["received"] = nil, nil
	receipt := exampleReceipt(t, content)
	receipt.State, receipt.RejectionReason = tradev1.TradeState_TRADE_STATE_REJECTED, "EXECUTION_WINDOW_PASSED"
	receipt.PaidAmount, receipt.ReceivedAmount = nil, nil

	if err := VerifyReceipt(receipt, exampleKeys()); err != nil {
		t.Error(err)
	}
}

func TestAReceiptWithAnyFieldChangedDoesNotHold(t *testing.T) {
	fields := exampleReceipt(t, exampleContent()).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		// When it was made is in no content.
		if field.Name() == "make_time" {
			continue
		}
		t.Run(string(field.Name()), func(t *testing.T) {
			receipt := exampleReceipt(t, exampleContent())
			change(t, receipt, field)
			requireBroken(t, VerifyReceipt(receipt, exampleKeys()))
			receipt = exampleReceipt(t, exampleContent())
			if receipt.ProtoReflect().Has(field) {
				receipt.ProtoReflect().Clear(field)
				requireBroken(t, VerifyReceipt(receipt, exampleKeys()))
			}
		})
	}
}

func TestAReceiptWithAByteOfItsContentChangedDoesNotHold(t *testing.T) {
	for i := range exampleReceipt(t, exampleContent()).GetContent() {
		receipt := exampleReceipt(t, exampleContent())
		receipt.Content[i] ^= 1
		requireBroken(t, VerifyReceipt(receipt, exampleKeys()))
	}
}

func TestASignedTextThatIsNotThisReceiptDoesNotHold(t *testing.T) {
	for name, value := range exampleContent() {
		// Whose receipt it is no field says.
		if name == "tenant_id" {
			continue
		}
		for _, other := range []any{"other", nil, 1, map[string]any{"asset": "BTC"}} {
			content := maps.Clone(exampleContent())
			content[name] = other
			if !reflect.DeepEqual(value, other) {
				requireBroken(t, VerifyReceipt(exampleReceipt(t, content), exampleKeys()))
			}
		}
		content := exampleContent()
		delete(content, name)
		requireBroken(t, VerifyReceipt(exampleReceipt(t, content), exampleKeys()))
	}
}

func TestAReceiptHoldsByAKeyOfThePlatformAlone(t *testing.T) {
	for name, change := range map[string]func(*ledgerv1.JsonWebKey){
		"another id":        func(key *ledgerv1.JsonWebKey) { key.Kid = "other" },
		"another type":      func(key *ledgerv1.JsonWebKey) { key.Kty = "EC" },
		"another curve":     func(key *ledgerv1.JsonWebKey) { key.Crv = "X25519" },
		"no key":            func(key *ledgerv1.JsonWebKey) { key.X = "" },
		"no base64":         func(key *ledgerv1.JsonWebKey) { key.X = "!" },
		"another key":       func(key *ledgerv1.JsonWebKey) { key.X = "B" + key.X[1:] },
		"a key cut short":   func(key *ledgerv1.JsonWebKey) { key.X = key.X[:40] },
		"a key with spaces": func(key *ledgerv1.JsonWebKey) { key.X = key.X[:40] + "\n" + key.X[40:] },
	} {
		t.Run(name, func(t *testing.T) {
			keys := exampleKeys()
			change(keys[1])
			requireBroken(t, VerifyReceipt(exampleReceipt(t, exampleContent()), keys))
		})
	}
	requireBroken(t, VerifyReceipt(exampleReceipt(t, exampleContent()), nil))
	requireBroken(t, VerifyReceipt(&tradev1.TradeReceipt{}, []*ledgerv1.JsonWebKey{{}}))
	requireBroken(t, VerifyReceipt(nil, exampleKeys()))
}

func TestAKeyIsKnownByItsThumbprint(t *testing.T) {
	// Somebody's own key under the id of the platform's, in a key set that he has touched.
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	receipt := exampleReceipt(t, exampleContent())
	receipt.Signature = ed25519.Sign(private, receipt.Content)
	keys := exampleKeys()
	keys[1].X = base64.RawURLEncoding.EncodeToString(public)

	requireBroken(t, VerifyReceipt(receipt, keys))
}

func TestAKeyThatIsTooShortHoldsNothing(t *testing.T) {
	thumbprint := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"AAAA"}`))
	key := &ledgerv1.JsonWebKey{
		Kty: "OKP", Crv: "Ed25519", X: "AAAA", Kid: base64.RawURLEncoding.EncodeToString(thumbprint[:]),
	}
	receipt := exampleReceipt(t, exampleContent())
	receipt.KeyId = key.Kid

	requireBroken(t, VerifyReceipt(receipt, []*ledgerv1.JsonWebKey{key}))
}

func TestOtherEvidenceDoesNotHold(t *testing.T) {
	receipt := exampleReceipt(t, exampleContent())
	changed := exampleEvidence()
	changed.Content[0] ^= 1
	for _, evidence := range []*tradev1.TradeEvidence{changed, {}, nil} {
		requireBroken(t, VerifyReceiptWithEvidence(receipt, exampleKeys(), evidence))
	}
	receipt.TradeId = "trade_2"
	requireBroken(t, VerifyReceiptWithEvidence(receipt, exampleKeys(), exampleEvidence()))
}

// change makes a field say something else of its kind, as little as can be.
func change(t *testing.T, receipt proto.Message, field protoreflect.FieldDescriptor) {
	t.Helper()
	message := receipt.ProtoReflect()
	switch field.Kind() {
	case protoreflect.StringKind:
		message.Set(field, protoreflect.ValueOfString(message.Get(field).String()+"1"))
	case protoreflect.BytesKind:
		changed := append([]byte{}, message.Get(field).Bytes()...)
		changed[len(changed)-1] ^= 1
		message.Set(field, protoreflect.ValueOfBytes(changed))
	case protoreflect.EnumKind:
		message.Set(field, protoreflect.ValueOfEnum(message.Get(field).Enum()+1))
	case protoreflect.MessageKind:
		switch inner := message.Mutable(field).Message().Interface().(type) {
		case *timestamppb.Timestamp:
			inner.Nanos++
		case *typev1.Amount:
			inner.Value += "1"
		default:
			t.Fatalf("%T has to be changed", inner)
		}
	default:
		t.Fatalf("%v has to be changed", field.Kind())
	}
}

func requireBroken(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrReceipt) {
		t.Errorf("the error is %v", err)
	}
}
