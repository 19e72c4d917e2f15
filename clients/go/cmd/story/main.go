// Command story is the client at work: a customer's trade, from her account to her receipt.
//
// It runs against a sandbox at RELI_URL, whose root certificate is in the file RELI_CA, with the API
// key RELI_KEY of a tenant that has nothing yet.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	reli "reli.dev/client"
	eventv1 "reli.dev/client/gen/reli/event/v1"
	ledgerv1 "reli.dev/client/gen/reli/ledger/v1"
	quotev1 "reli.dev/client/gen/reli/quote/v1"
	sandboxv1 "reli.dev/client/gen/reli/sandbox/v1"
	tenantv1 "reli.dev/client/gen/reli/tenant/v1"
	tradev1 "reli.dev/client/gen/reli/trade/v1"
	typev1 "reli.dev/client/gen/reli/type/v1"
	webhookv1 "reli.dev/client/gen/reli/webhook/v1"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := tell(ctx, os.Getenv("RELI_URL"), os.Getenv("RELI_CA"), os.Getenv("RELI_KEY")); err != nil {
		fmt.Fprintln(os.Stderr, "story:", err)
		os.Exit(1)
	}
}

func tell(ctx context.Context, address, rootsFile, apiKey string) error {
	roots, err := os.ReadFile(rootsFile)
	if err != nil {
		return err
	}
	unsigned, err := reli.Connect(address, apiKey, reli.Options{RootCertificates: roots})
	if err != nil {
		return err
	}
	defer unsigned.Close()
	customer, err := welcome(ctx, unsigned)
	if err != nil {
		return err
	}
	signer, err := requireSignatures(ctx, unsigned)
	if err != nil {
		return err
	}
	signed, err := reli.Connect(address, apiKey, reli.Options{RootCertificates: roots, Signer: signer})
	if err != nil {
		return err
	}
	defer signed.Close()
	trade, err := buy(ctx, signed, customer)
	if err != nil {
		return err
	}
	if err := proveReceipt(ctx, signed, trade); err != nil {
		return err
	}
	return buyTooMuch(ctx, signed, customer)
}

// welcome creates a customer and gives her money to play with.
func welcome(ctx context.Context, connection *grpc.ClientConn) (*tenantv1.Customer, error) {
	customers := tenantv1.NewCustomerServiceClient(connection)
	// The request id is made before the first attempt and kept with what it is for: whatever becomes
	// of the answer, the same call under the same id has one effect.
	request := &tenantv1.CreateCustomerRequest{ExternalId: "amina", RequestId: "customer-amina"}
	created, err := customers.CreateCustomer(ctx, request)
	if err != nil {
		return nil, err
	}
	again, err := customers.CreateCustomer(ctx, request)
	if err != nil {
		return nil, err
	}
	if created.GetCustomer().GetId() != again.GetCustomer().GetId() {
		return nil, fmt.Errorf("%v and %v are two", created, again)
	}
	fmt.Println("customer  amina, asked for twice, is one")

	deposited, err := sandboxv1.NewSandboxServiceClient(connection).CreateDeposit(ctx, &sandboxv1.CreateDepositRequest{
		CustomerId: created.GetCustomer().GetId(),
		Amount:     &typev1.Amount{Value: "2000000.00", Asset: "NGN"},
		RequestId:  "deposit-1",
	})
	if err != nil {
		return nil, err
	}
	amount := deposited.GetDeposit().GetAmount()
	fmt.Println("deposit  ", amount.GetValue(), amount.GetAsset())
	return created.GetCustomer(), nil
}

// requireSignatures registers a key and has the platform refuse every call that is not signed.
func requireSignatures(ctx context.Context, connection *grpc.ClientConn) (*reli.Signer, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	registered, err := tenantv1.NewRequestSigningKeyServiceClient(connection).CreateRequestSigningKey(
		ctx, &tenantv1.CreateRequestSigningKeyRequest{
			Name:      "backend",
			Algorithm: tenantv1.SignatureAlgorithm_SIGNATURE_ALGORITHM_ED25519,
			PublicKey: public,
			RequestId: "signing-key-1",
		})
	if err != nil {
		return nil, err
	}
	tenants := tenantv1.NewTenantServiceClient(connection)
	if _, err := tenants.UpdateCurrentTenant(ctx, &tenantv1.UpdateCurrentTenantRequest{
		SigningRequired: proto.Bool(true),
		RequestId:       "signing-required",
	}); err != nil {
		return nil, err
	}
	// A server believes the settings of a tenant for up to a second.
	for patience := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, err := tenants.GetCurrentTenant(ctx, &tenantv1.GetCurrentTenantRequest{})
		var refusal *reli.Refusal
		if errors.As(err, &refusal) && refusal.Reason == "SIGNATURE_MISSING" {
			fmt.Println("signing   required: an unsigned call is", refusal.Reason)
			break
		}
		if err != nil || time.Now().After(patience) {
			return nil, fmt.Errorf("an unsigned call was answered, or refused otherwise: %w", err)
		}
	}
	return reli.NewEd25519Signer(registered.GetRequestSigningKey().GetId(), private)
}

// buy trades, and hears of it as an event and as a webhook.
func buy(ctx context.Context, connection *grpc.ClientConn, customer *tenantv1.Customer) (*tradev1.Trade, error) {
	receiver, err := listen()
	if err != nil {
		return nil, err
	}
	defer receiver.close()
	endpoint, err := webhookv1.NewWebhookServiceClient(connection).CreateWebhookEndpoint(
		ctx, &webhookv1.CreateWebhookEndpointRequest{
			Url:        receiver.url,
			EventTypes: []string{"trade.*"},
			RequestId:  "webhook-1",
		})
	if err != nil {
		return nil, err
	}
	events := follow(ctx, connection)

	quote, err := priceOf(ctx, connection, customer, "0.01", "quote-1")
	if err != nil {
		return nil, err
	}
	price := quote.GetQuoteAmount()
	fmt.Println("quote     0.01 BTC for", price.GetValue(), price.GetAsset())

	quotes := quotev1.NewQuoteServiceClient(connection)
	request := &quotev1.AcceptQuoteRequest{QuoteId: quote.GetId(), RequestId: "accept-1"}
	accepted, err := quotes.AcceptQuote(ctx, request)
	if err != nil {
		return nil, err
	}
	again, err := quotes.AcceptQuote(ctx, request)
	if err != nil {
		return nil, err
	}
	if accepted.GetTrade().GetId() != again.GetTrade().GetId() {
		return nil, fmt.Errorf("%v and %v are two", accepted, again)
	}
	// A trade that is pending goes on by itself, and its event says so.
	settled, err := settlementOf(accepted.GetTrade().GetId(), events)
	if err != nil {
		return nil, err
	}
	trade := settled.GetTrade()
	fmt.Println("accept   ", trade.GetState().String()+", and sent twice it is the same trade")
	fmt.Println("event    ", settled.GetType()+", after all others without a gap")
	return trade, receiver.expect(ctx, endpoint.GetSecret(), settled)
}

func priceOf(
	ctx context.Context, connection *grpc.ClientConn, customer *tenantv1.Customer, bitcoin, requestID string,
) (*quotev1.Quote, error) {
	created, err := quotev1.NewQuoteServiceClient(connection).CreateQuote(ctx, &quotev1.CreateQuoteRequest{
		CustomerId: customer.GetId(),
		Side:       typev1.Side_SIDE_BUY,
		BaseAsset:  "BTC",
		QuoteAsset: "NGN",
		FixedAmount: &quotev1.CreateQuoteRequest_BaseAmount{
			BaseAmount: &typev1.Amount{Value: bitcoin, Asset: "BTC"},
		},
		RequestId: requestID,
	})
	return created.GetQuote(), err
}

// told is an event, or why there are no more.
type told struct {
	event *eventv1.Event
	err   error
}

// follow hears every event of the tenant from the first on, as it happens.
func follow(ctx context.Context, connection *grpc.ClientConn) <-chan told {
	events := make(chan told)
	go func() {
		defer close(events)
		for event, err := range reli.Events(ctx, connection, &eventv1.StreamEventsRequest{After: proto.Int64(0)}) {
			select {
			case events <- told{event, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events
}

// settlementOf returns the event that a trade was settled, all others before it having been told.
func settlementOf(tradeID string, events <-chan told) (*eventv1.Event, error) {
	sequence := int64(0)
	for one := range events {
		if one.err != nil {
			return nil, one.err
		}
		if sequence++; one.event.GetSequence() != sequence {
			return nil, fmt.Errorf("%d was told as %d", one.event.GetSequence(), sequence)
		}
		if one.event.GetSubject() == tradeID && one.event.GetType() == "trade.settled" {
			return one.event, nil
		}
	}
	return nil, errors.New("no event said that the trade was settled")
}

// proveReceipt checks what the platform has signed, with nothing but its public keys.
func proveReceipt(ctx context.Context, connection *grpc.ClientConn, trade *tradev1.Trade) error {
	trades := tradev1.NewTradeServiceClient(connection)
	// It is made about a second after the trade has ended; until then it is RECEIPT_PENDING, to be
	// asked for later, which the connection does.
	receipt, err := trades.GetTradeReceipt(ctx, &tradev1.GetTradeReceiptRequest{TradeId: trade.GetId()})
	if err != nil {
		return err
	}
	evidence, err := trades.GetTradeEvidence(ctx, &tradev1.GetTradeEvidenceRequest{TradeId: trade.GetId()})
	if err != nil {
		return err
	}
	published, err := ledgerv1.NewSigningKeyServiceClient(connection).
		GetSigningKeys(ctx, &ledgerv1.GetSigningKeysRequest{})
	if err != nil {
		return err
	}
	if err := reli.VerifyReceiptWithEvidence(
		receipt.GetReceipt(), published.GetKeys(), evidence.GetEvidence(),
	); err != nil {
		return err
	}
	changed := proto.CloneOf(receipt.GetReceipt())
	changed.Content = bytes.Replace(changed.Content, []byte("settled"), []byte("settleD"), 1)
	if err := reli.VerifyReceipt(changed, published.GetKeys()); !errors.Is(err, reli.ErrReceipt) {
		return fmt.Errorf("a receipt with a byte changed was taken: %w", err)
	}
	fmt.Println("receipt  ", receipt.GetReceipt().GetState().String()+
		", signature and evidence verified; with a byte changed it is refused")
	return nil
}

// buyTooMuch is told why it cannot.
func buyTooMuch(ctx context.Context, connection *grpc.ClientConn, customer *tenantv1.Customer) error {
	quote, err := priceOf(ctx, connection, customer, "1", "quote-2")
	if err != nil {
		return err
	}
	_, err = quotev1.NewQuoteServiceClient(connection).AcceptQuote(ctx, &quotev1.AcceptQuoteRequest{
		QuoteId:   quote.GetId(),
		RequestId: "accept-2",
	})
	var refusal *reli.Refusal
	if !errors.As(err, &refusal) {
		return fmt.Errorf("one bitcoin was not refused: %w", err)
	}
	fmt.Println("refusal  ", cmp.Or(refusal.Reason, refusal.Message)+", retry", refusal.Retry)
	return nil
}
