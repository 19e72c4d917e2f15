package reli

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "reli.dev/client/gen/reli/ledger/v1"
	tradev1 "reli.dev/client/gen/reli/trade/v1"
	typev1 "reli.dev/client/gen/reli/type/v1"
)

// ErrReceipt says that a receipt, or the evidence beside it, proves nothing.
var ErrReceipt = errors.New("reli: the receipt does not hold")

// VerifyReceipt returns nil if the receipt is signed with one of the platform's keys, as
// SigningKeyService.GetSigningKeys tells them, and its fields say what was signed; otherwise an
// ErrReceipt. docs/books.md describes it.
func VerifyReceipt(receipt *tradev1.TradeReceipt, keys []*ledgerv1.JsonWebKey) error {
	key, err := keyOf(receipt.GetKeyId(), keys)
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, receipt.GetContent(), receipt.GetSignature()) {
		return fmt.Errorf("%w: the signature is not over its content", ErrReceipt)
	}
	var signed map[string]any
	if err := json.Unmarshal(receipt.GetContent(), &signed); err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	for name, said := range map[string]any{
		"type":             "reli.receipt.v1",
		"key_id":           receipt.GetKeyId(),
		"trade_id":         receipt.GetTradeId(),
		"quote_id":         receipt.GetQuoteId(),
		"customer_id":      receipt.GetCustomerId(),
		"instrument":       receipt.GetInstrument(),
		"side":             lastWord(receipt.GetSide()),
		"base":             amountContent(receipt.GetBaseAmount()),
		"quote":            amountContent(receipt.GetQuoteAmount()),
		"quoted_at":        instantContent(receipt.GetQuoteTime()),
		"expires_at":       instantContent(receipt.GetExpireTime()),
		"accepted_at":      instantContent(receipt.GetAcceptTime()),
		"ended_at":         instantContent(receipt.GetEndTime()),
		"state":            lastWord(receipt.GetState()),
		"rejection_reason": receipt.GetRejectionReason(),
		"paid":             amountContent(receipt.GetPaidAmount()),
		"received":         amountContent(receipt.GetReceivedAmount()),
		"hold_entry_id":    receipt.GetHoldEntryId(),
		"final_entry_id":   receipt.GetFinalEntryId(),
		"evidence_digest":  hex.EncodeToString(receipt.GetEvidenceDigest()),
	} {
		if !reflect.DeepEqual(signed[name], said) {
			return fmt.Errorf("%w: what was signed has %v as its %s, not %v", ErrReceipt, signed[name], name, said)
		}
	}
	return nil
}

// lastWord returns how a content names SIDE_BUY or TRADE_STATE_SETTLED.
func lastWord(value fmt.Stringer) string {
	name := value.String()
	return strings.ToLower(name[strings.LastIndex(name, "_")+1:])
}

func amountContent(amount *typev1.Amount) any {
	if amount == nil {
		return nil
	}
	return map[string]any{"asset": amount.GetAsset(), "value": amount.GetValue()}
}

// instantContent keeps what is finer than a microsecond, which no content has.
func instantContent(instant *timestamppb.Timestamp) string {
	text := instant.AsTime().Format("2006-01-02T15:04:05.000000000")
	return strings.TrimSuffix(text, "000") + "Z"
}

// VerifyReceiptWithEvidence returns nil if VerifyReceipt does and this is the evidence that the
// receipt means; otherwise an ErrReceipt.
func VerifyReceiptWithEvidence(
	receipt *tradev1.TradeReceipt, keys []*ledgerv1.JsonWebKey, evidence *tradev1.TradeEvidence,
) error {
	if err := VerifyReceipt(receipt, keys); err != nil {
		return err
	}
	if digest := sha256.Sum256(evidence.GetContent()); string(digest[:]) != string(receipt.GetEvidenceDigest()) {
		return fmt.Errorf("%w: it means other evidence", ErrReceipt)
	}
	return nil
}

// keyOf returns the key that has the id, which is its thumbprint (RFC 7638).
func keyOf(id string, keys []*ledgerv1.JsonWebKey) (ed25519.PublicKey, error) {
	for _, key := range keys {
		if key.GetKid() != id || key.GetKty() != "OKP" || key.GetCrv() != "Ed25519" {
			continue
		}
		public, err := base64.RawURLEncoding.Strict().DecodeString(key.GetX())
		thumbprint := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + key.GetX() + `"}`))
		if err == nil && len(public) == ed25519.PublicKeySize &&
			base64.RawURLEncoding.EncodeToString(thumbprint[:]) == id {
			return public, nil
		}
	}
	return nil, fmt.Errorf("%w: no key of the platform is %q", ErrReceipt, id)
}
