package reli

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/protobuf/encoding/protojson"

	tradev1 "reli.dev/client/gen/reli/trade/v1"
)

const delivered = `{"specversion":"1.0","id":"event_1","source":"https://reli.dev/tenants/tenant_1",` +
	`"type":"trade.settled","subject":"trade_1","time":"2026-03-02T09:30:00.000123Z",` +
	`"sequence":"0000000000000000012","datacontenttype":"application/json",` +
	`"data":{"id":"trade_1","state":"TRADE_STATE_SETTLED"}}`

var secret, otherSecret = webhookSecret('a'), webhookSecret('b')

func webhookSecret(letter byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{letter}, 24))
}

// deliver returns the headers of a delivery that was signed with these secrets.
func deliver(t *testing.T, body string, sentAt time.Time, secrets ...string) http.Header {
	t.Helper()
	header := http.Header{}
	header.Set("webhook-id", "event_1")
	header.Set("webhook-timestamp", strconv.FormatInt(sentAt.Unix(), 10))
	signatures := ""
	for _, secret := range secrets {
		webhook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := webhook.Sign("event_1", sentAt, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		signatures += " " + signature
	}
	header.Set("webhook-signature", signatures[1:])
	return header
}

func TestADeliveryIsTheEventThatWasSigned(t *testing.T) {
	for _, secrets := range [][]string{{secret}, {otherSecret, secret}, {secret, otherSecret}} {
		event, err := VerifyWebhook(secret, deliver(t, delivered, time.Now(), secrets...), []byte(delivered))
		if err != nil {
			t.Fatal(err)
		}
		if event.ID != "event_1" || event.Type != "trade.settled" || event.Sequence != 12 ||
			event.Subject != "trade_1" || event.TenantID != "tenant_1" ||
			!event.Time.Equal(time.Date(2026, 3, 2, 9, 30, 0, 123_000, time.UTC)) {
			t.Errorf("the event is %+v", event)
		}
		var trade tradev1.Trade
		if err := protojson.Unmarshal(event.Data, &trade); err != nil {
			t.Fatal(err)
		}
		if trade.GetId() != "trade_1" || trade.GetState() != tradev1.TradeState_TRADE_STATE_SETTLED {
			t.Errorf("the trade is %v", &trade)
		}
	}
}

func TestADeliveryWithOneByteChangedIsRefused(t *testing.T) {
	header := deliver(t, delivered, time.Now(), secret)
	for i := range delivered {
		changed := []byte(delivered)
		changed[i] ^= 1
		if event, err := VerifyWebhook(secret, header, changed); err == nil || event != nil {
			t.Fatalf("%s was taken", changed)
		}
	}
}

func TestADeliveryIsGoodForFiveMinutes(t *testing.T) {
	for _, test := range []struct {
		age    time.Duration
		isGood bool
	}{
		{5 * time.Minute, true},
		{5*time.Minute + time.Second, false},
		{-5 * time.Minute, true},
		{-5*time.Minute - time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			header := deliver(t, delivered, time.Now().Add(-test.age), secret)
			if _, err := VerifyWebhook(secret, header, []byte(delivered)); (err == nil) != test.isGood {
				t.Errorf("%v: %v", test.age, err)
			}
		})
	}
}

func TestADeliveryThatProvesNothingIsRefused(t *testing.T) {
	now := time.Now()
	without := deliver(t, delivered, now, secret)
	without.Del("webhook-signature")
	// Anybody could make this one: the key is empty.
	keyless := deliver(t, delivered, now, "whsec_")
	for _, test := range []struct {
		name   string
		secret string
		header http.Header
		body   string
	}{
		{"with another secret", secret, deliver(t, delivered, now, otherSecret), delivered},
		{"without a signature", secret, without, delivered},
		{"checked with no secret", "", keyless, delivered},
		{"checked with an empty secret", "whsec_", keyless, delivered},
		{"checked with what is no secret", "whsec_!", deliver(t, delivered, now, secret), delivered},
		{"that is no JSON", secret, deliver(t, "event", now, secret), "event"},
		{"that is no CloudEvent", secret, deliver(t, "{}", now, secret), "{}"},
		{"of no tenant", secret, deliver(t, `{"sequence":"1"}`, now, secret), `{"sequence":"1"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if event, err := VerifyWebhook(test.secret, test.header, []byte(test.body)); err == nil || event != nil {
				t.Errorf("%v was taken", event)
			}
		})
	}
}
