package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	reli "reli.dev/client"
	eventv1 "reli.dev/client/gen/reli/event/v1"
)

const bodyMax = 1 << 20

// delivery is what a webhook sent.
type delivery struct {
	header http.Header
	body   []byte
}

// receiver takes webhooks: it says at once that it has them and looks at them afterwards.
type receiver struct {
	url        string
	server     *http.Server
	deliveries chan delivery
}

func listen() (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{
		url:        "http://" + listener.Addr().String() + "/webhooks",
		deliveries: make(chan delivery, 16),
	}
	r.server = &http.Server{Handler: http.HandlerFunc(r.receive)}
	go r.server.Serve(listener)
	return r, nil
}

func (r *receiver) close() { r.server.Close() }

func (r *receiver) receive(answer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, bodyMax))
	if err != nil {
		answer.WriteHeader(http.StatusBadRequest)
		return
	}
	select {
	case r.deliveries <- delivery{request.Header, body}:
		answer.WriteHeader(http.StatusNoContent)
	default:
		// It is sent again.
		answer.WriteHeader(http.StatusServiceUnavailable)
	}
}

// expect returns once an event was delivered, signed with the secret.
func (r *receiver) expect(ctx context.Context, secret string, wanted *eventv1.Event) error {
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no webhook has %s: %w", wanted.GetType(), ctx.Err())
		case one := <-r.deliveries:
			event, err := reli.VerifyWebhook(secret, one.header, one.body)
			if err != nil {
				return err
			}
			if event.ID != wanted.GetId() {
				continue
			}
			if event.Type != wanted.GetType() || event.Sequence != wanted.GetSequence() ||
				event.Subject != wanted.GetSubject() || event.TenantID != wanted.GetTenantId() ||
				!event.Time.Equal(wanted.GetOccurTime().AsTime()) {
				return fmt.Errorf("%+v is not %v", event, wanted)
			}
			one.body[len(one.body)/2] ^= 1
			if _, err := reli.VerifyWebhook(secret, one.header, one.body); err == nil {
				return errors.New("a webhook with a byte changed was taken")
			}
			fmt.Println("webhook  ", event.Type+", verified: the same event; with a byte changed it is refused")
			return nil
		}
	}
}
