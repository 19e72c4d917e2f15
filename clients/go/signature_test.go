package reli

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// vectors are docs/signing-vectors.json.
type vectors struct {
	Keys map[string]struct {
		Algorithm string
		Seed      []byte
		Secret    string
	}
	Good []vector
	GRPC []vector
	Bad  []vector
}

type vector struct {
	Name      string
	KeyID     string `json:"key_id"`
	Method    string
	Authority string
	Path      string
	Query     string
	Headers   map[string]string
	Body      string
	Message   []byte
	Base      string `json:"signature_base"`
}

// added are the headers that signing adds; the others a request has before.
var added = []string{"content-digest", "signature-input", "signature"}

func TestEveryRESTVectorIsSignedAsItSays(t *testing.T) {
	all := readVectors(t)
	for _, one := range all.Good {
		t.Run(one.Name, func(t *testing.T) {
			signer, base := vectorSigner(t, all, one)
			address := "https://" + one.Authority + one.Path
			if one.Query != "" {
				address += "?" + one.Query
			}
			request, err := http.NewRequest(one.Method, address, strings.NewReader(one.Body))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range ownHeaders(one) {
				request.Header.Set(name, value)
			}

			if err := signer.SignRequest(request); err != nil {
				t.Fatal(err)
			}

			if string(*base) != one.Base {
				t.Errorf("the base is\n%s\nnot\n%s", *base, one.Base)
			}
			for _, name := range added {
				if request.Header.Get(name) != one.Headers[name] {
					t.Errorf("%s is %q", name, request.Header.Get(name))
				}
			}
			if body, err := io.ReadAll(request.Body); err != nil || string(body) != one.Body {
				t.Errorf("the body is %q, %v", body, err)
			}
		})
	}
}

func TestEveryGRPCVectorIsSignedAsItSays(t *testing.T) {
	all := readVectors(t)
	for _, one := range all.GRPC {
		t.Run(one.Name, func(t *testing.T) {
			signer, base := vectorSigner(t, all, one)
			var keys []string
			for _, key := range ownHeaders(one) {
				keys = append(keys, key)
			}

			headers := signer.sign([]component{{"@method", one.Method}, {"@path", one.Path}}, keys, one.Message)

			if string(*base) != one.Base {
				t.Errorf("the base is\n%s\nnot\n%s", *base, one.Base)
			}
			signed := map[string]string{}
			for ; len(headers) > 0; headers = headers[2:] {
				signed[headers[0]] = headers[1]
			}
			for _, name := range added {
				if signed[name] != one.Headers[name] {
					t.Errorf("%s is %q", name, signed[name])
				}
			}
		})
	}
}

func TestNoBadVectorIsWhatASignerMakes(t *testing.T) {
	all := readVectors(t)
	for _, one := range all.Bad {
		t.Run(one.Name, func(t *testing.T) {
			signer, _ := vectorSigner(t, all, one)
			request, err := http.NewRequest(one.Method, "https://"+one.Authority+one.Path+"?"+one.Query, strings.NewReader(one.Body))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range ownHeaders(one) {
				request.Header.Set(name, value)
			}

			if err := signer.SignRequest(request); err != nil {
				t.Fatal(err)
			}

			for _, name := range added {
				if request.Header.Get(name) != one.Headers[name] {
					return
				}
			}
			t.Error("it was made")
		})
	}
}

func TestASignedRequestIsTheOneThatIsSent(t *testing.T) {
	for _, test := range []struct {
		name    string
		request *http.Request
		base    string
	}{
		{
			"without a path", &http.Request{URL: mustParse("https://API.example.com"), Header: http.Header{}},
			"\"@method\": GET\n\"@authority\": api.example.com\n\"@path\": /\n\"@query\": ?\n",
		},
		{
			"to another host", &http.Request{
				Method: "POST", Host: "api.example.com:8443", URL: mustParse("http://127.0.0.1/v1/a%2Fb"),
				Header: http.Header{"Idempotency-Key": {" accept-1 "}}, Body: http.NoBody,
			},
			"\"@method\": POST\n\"@authority\": api.example.com:8443\n\"@path\": /v1/a%2Fb\n\"@query\": ?\n" +
				"\"idempotency-key\": accept-1\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			signer, _ := newSigningKey(t)
			base := record(signer)

			if err := signer.SignRequest(test.request); err != nil {
				t.Fatal(err)
			}

			if !bytes.HasPrefix(*base, []byte(test.base+`"@signature-params"`)) {
				t.Errorf("the base is\n%s", *base)
			}
		})
	}
}

func TestABodyCanBeSentAgain(t *testing.T) {
	signer, _ := newSigningKey(t)
	request, err := http.NewRequest("POST", "https://api.example.com/", io.LimitReader(strings.NewReader("{}"), 9))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := signer.SignRequest(request); err != nil {
			t.Fatal(err)
		}
	}
	again, err := request.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(again); err != nil || string(body) != "{}" || request.ContentLength != 2 {
		t.Errorf("the body is %q, %v", body, err)
	}
}

func TestWhatIsNoKeySignsNothing(t *testing.T) {
	_, err := NewEd25519Signer("requestsigningkey_1", ed25519.PrivateKey("short"))
	refuseKey(t, err)
	for _, keyID := range []string{"", `a"b`, `a\b`, "ä", "a\nb"} {
		_, err := NewEd25519Signer(keyID, make(ed25519.PrivateKey, ed25519.PrivateKeySize))
		refuseKey(t, err)
	}
	for _, secret := range []string{"", "reqsec_", "ICEiIyQlJicoKSor", "reqsec_!"} {
		_, err := NewHMACSigner("requestsigningkey_1", secret)
		refuseKey(t, err)
	}
}

func TestNothingPrintedShowsAKey(t *testing.T) {
	signer, err := NewHMACSigner("requestsigningkey_1", "reqsec_"+"c2VjcmV0LXRoYXQtbm9ib2R5LXNlZXM=")
	if err != nil {
		t.Fatal(err)
	}
	connection, err := Connect("http://127.0.0.1:8080", "reli_canary", Options{Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	canaries := []string{"reli_canary", "secret-that-nobody-sees", "c2VjcmV0", fmt.Sprint([]byte("secret-that"))[1:20]}
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		printed := fmt.Sprintf(form, signer) + fmt.Sprintf(form, *signer) + fmt.Sprintf(form, connection)
		for _, canary := range canaries {
			if strings.Contains(printed, canary) {
				t.Errorf("%s shows %s", form, canary)
			}
		}
	}
}

func refuseKey(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("it was taken for a key")
	}
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	content, err := os.ReadFile("../../docs/signing-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all vectors
	if err := json.Unmarshal(content, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Good) == 0 || len(all.GRPC) == 0 || len(all.Bad) == 0 {
		t.Fatal("there are no vectors")
	}
	return all
}

// vectorSigner returns the signer of a vector, and where it puts what it signs.
func vectorSigner(t *testing.T, all vectors, one vector) (*Signer, *[]byte) {
	t.Helper()
	key := all.Keys[one.KeyID]
	var signer *Signer
	var err error
	if key.Algorithm == "ed25519" {
		signer, err = NewEd25519Signer(one.KeyID, ed25519.NewKeyFromSeed(key.Seed))
	} else {
		signer, err = NewHMACSigner(one.KeyID, key.Secret)
	}
	if err != nil {
		t.Fatal(err)
	}
	signer.now = func() time.Time { return time.Unix(1700000000, 999_999_999) }
	signer.nonce = func() string { return "b3VyLW93bi1ub25jZS0x" }
	return signer, record(signer)
}

func record(signer *Signer) *[]byte {
	var signed []byte
	mark := signer.mark
	signer.mark = func(base []byte) []byte {
		signed = base
		return mark(base)
	}
	return &signed
}

// ownHeaders returns the headers that a request has before it is signed.
func ownHeaders(one vector) map[string]string {
	own := map[string]string{}
	for name, value := range one.Headers {
		if name == "idempotency-key" {
			own[name] = value
		}
	}
	return own
}
