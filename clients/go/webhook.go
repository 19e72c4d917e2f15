package reli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	webhookSecretPrefix = "whsec_"
	tenantSource        = "https://reli.dev/tenants/"
)

// WebhookEvent is an event as a webhook tells it: a CloudEvent.
type WebhookEvent struct {
	// ID is that of the event: drop what you have seen.
	ID string
	// Type is what happened, such as "trade.settled".
	Type string
	// Sequence is the event's place in the log, from 1.
	Sequence int64
	// Subject is the id of the thing that it happened to.
	Subject string
	// Time is when it happened.
	Time time.Time
	// TenantID is whose log it is.
	TenantID string
	// Data is the thing as it then was, in the JSON of the REST face; protojson reads it into the
	// message of the type, such as tradev1.Trade.
	Data json.RawMessage
}

// VerifyWebhook returns the event of a request whose body is what was received, byte for byte. It is
// an error unless one of the signatures is made with the secret ("whsec_…"), within five minutes.
func VerifyWebhook(secret string, header http.Header, body []byte) (*WebhookEvent, error) {
	// Without a key every signature could be made by anybody, and a replay of the call that creates
	// an endpoint tells no secret.
	if !strings.HasPrefix(secret, webhookSecretPrefix) || secret == webhookSecretPrefix {
		return nil, errors.New("reli: the secret of a webhook is whsec_ and base64")
	}
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, fmt.Errorf("reli: %w", err)
	}
	if err := webhook.Verify(body, header); err != nil {
		return nil, fmt.Errorf("reli: %w", err)
	}
	var said struct {
		ID, Source, Type, Subject, Sequence string
		Time                                time.Time
		Data                                json.RawMessage
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, fmt.Errorf("reli: %w", err)
	}
	sequence, err := strconv.ParseInt(said.Sequence, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("reli: %w", err)
	}
	tenantID, isTenant := strings.CutPrefix(said.Source, tenantSource)
	if !isTenant {
		return nil, fmt.Errorf("reli: %q is no tenant", said.Source)
	}
	return &WebhookEvent{
		ID:       said.ID,
		Type:     said.Type,
		Sequence: sequence,
		Subject:  said.Subject,
		Time:     said.Time,
		TenantID: tenantID,
		Data:     said.Data,
	}, nil
}
