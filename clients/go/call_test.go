package reli

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	ledgerv1 "reli.dev/client/gen/reli/ledger/v1"
	quotev1 "reli.dev/client/gen/reli/quote/v1"
	tenantv1 "reli.dev/client/gen/reli/tenant/v1"
	tradev1 "reli.dev/client/gen/reli/trade/v1"
)

var (
	broken   = refuse(status.Error(codes.Unavailable, "connection reset"))
	conflict = refuse(refused(codes.Aborted, "VERSION_CONFLICT", RetrySameRequest, 0))
	limited  = refuse(refused(codes.ResourceExhausted, "RATE_LIMITED", RetryLater, time.Second))
	never    = refuse(refused(codes.FailedPrecondition, "INSUFFICIENT_FUNDS", RetryNever, 0))
	noKey    = refuse(revoked)
	accepted = answer(&quotev1.AcceptQuoteResponse{Trade: &tradev1.Trade{Id: "trade_1"}})
)

func TestACallIsRepeatedByItsRetryClass(t *testing.T) {
	keyed := &quotev1.AcceptQuoteRequest{QuoteId: "quote_1", RequestId: "accept-1"}
	for _, test := range []struct {
		name     string
		answers  []func(*call) error
		options  Options
		deadline time.Duration
		calls    int
		reason   string
		code     codes.Code
		atLeast  time.Duration
		atMost   time.Duration
	}{
		{name: "an answer is taken", answers: []func(*call) error{accepted}, calls: 1},
		{
			name: "never is told at once", answers: []func(*call) error{never, accepted},
			calls: 1, reason: "INSUFFICIENT_FUNDS", code: codes.FailedPrecondition,
		},
		{
			name: "same_request is sent again after a pause", answers: []func(*call) error{conflict, accepted},
			calls: 2, atMost: 200 * time.Millisecond,
		},
		{
			name: "the pause grows", answers: []func(*call) error{conflict, conflict, conflict, accepted},
			calls: 4, atMost: 1400 * time.Millisecond,
		},
		{
			name: "a connection that broke is same_request", answers: []func(*call) error{broken, accepted},
			calls: 2, atMost: 200 * time.Millisecond,
		},
		{
			name: "later waits for as long as is told", answers: []func(*call) error{limited, accepted},
			calls: 2, atLeast: time.Second, atMost: 1200 * time.Millisecond,
		},
		{
			name: "the last attempt is told", answers: []func(*call) error{broken},
			calls: 4, code: codes.Unavailable, atMost: 1400 * time.Millisecond,
		},
		{
			name: "so many attempts as were asked for", answers: []func(*call) error{conflict}, options: Options{Attempts: 2},
			calls: 2, reason: "VERSION_CONFLICT", code: codes.Aborted, atMost: 200 * time.Millisecond,
		},
		{
			name: "a wait beyond the deadline is not begun", answers: []func(*call) error{limited, accepted},
			deadline: 900 * time.Millisecond, calls: 1, reason: "RATE_LIMITED", code: codes.ResourceExhausted,
		},
		{
			name:    "nor one beyond the timeout",
			answers: []func(*call) error{limited, accepted}, options: Options{Timeout: 900 * time.Millisecond},
			calls: 1, reason: "RATE_LIMITED", code: codes.ResourceExhausted,
		},
		{
			name: "silence ends with the timeout",
			answers: []func(*call) error{func(c *call) error {
				<-c.Context().Done()
				return status.FromContextError(c.Context().Err()).Err()
			}},
			calls: 1, code: codes.DeadlineExceeded, atLeast: 5 * time.Second, atMost: 5 * time.Second,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				connection, server := connect(t, test.options, test.answers...)
				ctx := t.Context()
				if test.deadline > 0 {
					bounded, cancel := context.WithTimeout(ctx, test.deadline)
					defer cancel()
					ctx = bounded
				}
				began := time.Now()

				accepted, err := quotev1.NewQuoteServiceClient(connection).AcceptQuote(ctx, keyed)

				if passed := time.Since(began); passed < test.atLeast || passed > test.atMost {
					t.Errorf("it took %v", passed)
				}
				if calls := len(server.received()); calls != test.calls {
					t.Errorf("%d calls were made", calls)
				}
				if test.code == codes.OK && (err != nil || accepted.GetTrade().GetId() != "trade_1") {
					t.Errorf("the answer is %v, %v", accepted, err)
				}
				if status.Code(err) != test.code || (err != nil && reasonOf(t, err) != test.reason) {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

func TestARefusalTellsWhetherAnAttemptMayHaveHadItsEffect(t *testing.T) {
	keyed := &quotev1.AcceptQuoteRequest{QuoteId: "quote_1", RequestId: "accept-1"}
	for _, test := range []struct {
		name      string
		answers   []func(*call) error
		isInDoubt bool
	}{
		{"all were lost", []func(*call) error{broken}, true},
		{"one was lost, and then nothing is told of it", []func(*call) error{broken, noKey}, true},
		{"one was lost, and then the outcome is told", []func(*call) error{broken, never}, false},
		{"none was lost", []func(*call) error{noKey}, false},
		{"the outcome is told at once", []func(*call) error{never}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				connection, _ := connect(t, Options{}, test.answers...)

				_, err := quotev1.NewQuoteServiceClient(connection).AcceptQuote(t.Context(), keyed)

				var refusal *Refusal
				if !errors.As(err, &refusal) || refusal.InDoubt != test.isInDoubt {
					t.Errorf("the error is %#v", err)
				}
			})
		})
	}
}

func TestACallIsRepeatedOnlyIfThatIsSafe(t *testing.T) {
	for _, test := range []struct {
		name   string
		call   func(context.Context, grpc.ClientConnInterface) error
		isSafe bool
	}{
		{"without a request id", accept(&quotev1.AcceptQuoteRequest{QuoteId: "quote_1"}), false},
		{"with a request id", accept(&quotev1.AcceptQuoteRequest{RequestId: "accept-1"}), true},
		{"with its key in the metadata", func(ctx context.Context, connection grpc.ClientConnInterface) error {
			ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", "accept-1")
			return accept(&quotev1.AcceptQuoteRequest{})(ctx, connection)
		}, true},
		{"with an empty key in the metadata", func(ctx context.Context, connection grpc.ClientConnInterface) error {
			ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", "")
			return accept(&quotev1.AcceptQuoteRequest{})(ctx, connection)
		}, false},
		{"that only reads", func(ctx context.Context, connection grpc.ClientConnInterface) error {
			_, err := quotev1.NewQuoteServiceClient(connection).GetQuote(ctx, &quotev1.GetQuoteRequest{})
			return err
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				connection, server := connect(t, Options{}, broken)

				err := test.call(t.Context(), connection)

				if reasonOf(t, err) != "" || status.Code(err) != codes.Unavailable {
					t.Errorf("the error is %v", err)
				}
				if isRepeated := len(server.received()) > 1; isRepeated != test.isSafe {
					t.Errorf("%d calls were made", len(server.received()))
				}
			})
		})
	}
}

func TestAPauseGrowsAndNeverEndsBeforeWhatIsTold(t *testing.T) {
	for _, test := range []struct {
		wait    time.Duration
		attempt int
		chance  float64
		pause   time.Duration
	}{
		{0, 1, 0, 0},
		{0, 1, 0.5, 100 * time.Millisecond},
		{0, 2, 0.5, 200 * time.Millisecond},
		{0, 4, 0.5, 800 * time.Millisecond},
		{0, 5, 0.5, time.Second},
		{0, 1000, 0.5, time.Second},
		{3 * time.Second, 1, 0, 3 * time.Second},
		{3 * time.Second, 2, 0.25, 3100 * time.Millisecond},
	} {
		if pause := (&Refusal{Wait: test.wait}).pause(test.attempt, test.chance); pause != test.pause {
			t.Errorf("%+v: %v", test, pause)
		}
	}
}

func TestARefusalHasAllThatWasAnswered(t *testing.T) {
	connection, _ := connect(t, Options{Attempts: 1}, limited)

	err := accept(&quotev1.AcceptQuoteRequest{})(t.Context(), connection)

	var refusal *Refusal
	if !errors.As(fmt.Errorf("accepting: %w", err), &refusal) {
		t.Fatalf("%T is no refusal", err)
	}
	if refusal.Reason != "RATE_LIMITED" || refusal.Retry != RetryLater || refusal.Wait != time.Second ||
		refusal.Code != codes.ResourceExhausted || refusal.Message != "it was refused" ||
		refusal.Metadata["field"] != "side" {
		t.Errorf("the refusal is %+v", refusal)
	}
	if len(status.Convert(err).Details()) != 2 {
		t.Errorf("the status is %v", status.Convert(err))
	}
	if err.Error() != "RATE_LIMITED (ResourceExhausted): it was refused" {
		t.Errorf("the error reads %q", err)
	}
}

func TestEveryAttemptSignsTheBytesThatGoOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer, public := newSigningKey(t)
		connection, server := connect(t, Options{Signer: signer}, conflict)
		// A map has no order of its own: marshaled twice these bytes would hardly be the same.
		colors := map[string]any{}
		for i := range 50 {
			colors[fmt.Sprint("color-", i)] = "#0B6E4F"
		}
		branding, err := structpb.NewStruct(colors)
		if err != nil {
			t.Fatal(err)
		}
		request := &tenantv1.UpdateCurrentTenantRequest{Branding: branding, RequestId: "brand-1"}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", "brand-1")

		_, err = tenantv1.NewTenantServiceClient(connection).UpdateCurrentTenant(ctx, request)

		if reasonOf(t, err) != "VERSION_CONFLICT" {
			t.Errorf("the error is %v", err)
		}
		nonces := map[string]bool{}
		for _, one := range server.received() {
			nonces[requireSigned(t, one, public)] = true
			if one.header(t, "authorization") != "Bearer reli_key" {
				t.Error("the key was not sent")
			}
		}
		if len(nonces) != 4 {
			t.Errorf("the nonces are %v", nonces)
		}
	})
}

func TestARequestOfAStreamIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer, public := newSigningKey(t)
		connection, server := connect(t, Options{Signer: signer}, never)

		stream, err := quotev1.NewQuoteServiceClient(connection).
			StreamQuotes(t.Context(), &quotev1.StreamQuotesRequest{BaseAsset: "BTC"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()

		if reasonOf(t, err) != "INSUFFICIENT_FUNDS" {
			t.Errorf("the error is %v", err)
		}
		requireSigned(t, server.received()[0], public)
	})
}

func TestAStreamOfRequestsIsNotSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer, _ := newSigningKey(t)
		connection, server := connect(t, Options{Signer: signer}, never)

		stream, err := ledgerv1.NewLedgerAdminServiceClient(connection).LoadEntries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&ledgerv1.LoadEntriesRequest{}); err != nil {
			t.Fatal(err)
		}
		_, err = stream.CloseAndRecv()

		if reasonOf(t, err) != "INSUFFICIENT_FUNDS" {
			t.Errorf("the error is %v", err)
		}
		if signature := server.received()[0].metadata.Get("signature"); signature != nil {
			t.Errorf("the signature is %q", signature)
		}
	})
}

func TestARequestThatIsNoTextIsNotSent(t *testing.T) {
	connection, server := connect(t, Options{}, accepted)

	err := accept(&quotev1.AcceptQuoteRequest{QuoteId: "\xff"})(t.Context(), connection)

	if err == nil || len(server.received()) != 0 {
		t.Errorf("the error is %v", err)
	}
}

func accept(request *quotev1.AcceptQuoteRequest) func(context.Context, grpc.ClientConnInterface) error {
	return func(ctx context.Context, connection grpc.ClientConnInterface) error {
		_, err := quotev1.NewQuoteServiceClient(connection).AcceptQuote(ctx, proto.CloneOf(request))
		return err
	}
}

func reasonOf(t *testing.T, err error) string {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("%v is no refusal", err)
	}
	return refusal.Reason
}

func newSigningKey(t *testing.T) (*Signer, ed25519.PublicKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := NewEd25519Signer("requestsigningkey_1", private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, public
}

// requireSigned checks a signature as the platform does and returns its nonce.
func requireSigned(t *testing.T, received *call, public ed25519.PublicKey) string {
	t.Helper()
	parameters := strings.TrimPrefix(received.header(t, "signature-input"), "sig1=")
	hash := sha256.Sum256(received.message)
	sent := map[string]string{
		"@method":        "POST",
		"@path":          received.method,
		"content-digest": "sha-256=:" + base64.StdEncoding.EncodeToString(hash[:]) + ":",
	}
	if keys := received.metadata.Get("idempotency-key"); keys != nil {
		sent["idempotency-key"] = keys[0]
	}
	if received.header(t, "content-digest") != sent["content-digest"] {
		t.Errorf("the digest is not that of the bytes that came")
	}
	names, rest, _ := strings.Cut(strings.TrimPrefix(parameters, "("), ")")
	base := ""
	for name := range strings.FieldsSeq(names) {
		base += name + ": " + sent[strings.Trim(name, `"`)] + "\n"
		delete(sent, strings.Trim(name, `"`))
	}
	if len(sent) != 0 {
		t.Errorf("%v is not covered", sent)
	}
	base += `"@signature-params": ` + parameters
	mark := strings.TrimSuffix(strings.TrimPrefix(received.header(t, "signature"), "sig1=:"), ":")
	signature, err := base64.StdEncoding.DecodeString(mark)
	if err != nil || !ed25519.Verify(public, []byte(base), signature) {
		t.Errorf("the signature is not over %s", base)
	}
	said := regexp.MustCompile(`^;created=(\d+);.*;nonce="([!-~]{16,64})"$`).FindStringSubmatch(rest)
	if said == nil {
		t.Fatalf("the parameters are %s", rest)
	}
	created, err := strconv.ParseInt(said[1], 10, 64)
	if err != nil || time.Since(time.Unix(created, 0)).Abs() > 5*time.Second {
		t.Errorf("it was made at %s", said[1])
	}
	return said[2]
}
