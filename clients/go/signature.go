package reli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const sharedSecretPrefix = "reqsec_"

// Signer signs requests as docs/signing.md has it: RFC 9421, with the Content-Digest of RFC 9530.
// Any number of goroutines may use one.
type Signer struct {
	keyID     string
	algorithm string
	// A function, so that printing a signer cannot show the key.
	mark  func(base []byte) []byte
	now   func() time.Time
	nonce func() string
}

// NewEd25519Signer signs with a private key whose public key is registered as keyID, such as
// "requestsigningkey_01h455vb4pex5vsknk084sn02q".
func NewEd25519Signer(keyID string, key ed25519.PrivateKey) (*Signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("reli: a private key of Ed25519 has %d bytes, not %d", ed25519.PrivateKeySize, len(key))
	}
	return newSigner(keyID, "ed25519", func(base []byte) []byte { return ed25519.Sign(key, base) })
}

// NewHMACSigner signs with the secret that was shown when the key keyID was created: "reqsec_" and
// base64.
func NewHMACSigner(keyID, secret string) (*Signer, error) {
	encoded, isSecret := strings.CutPrefix(secret, sharedSecretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !isSecret || err != nil || len(key) == 0 {
		return nil, errors.New("reli: a shared secret is reqsec_ and base64")
	}
	return newSigner(keyID, "hmac-sha256", func(base []byte) []byte {
		hash := hmac.New(sha256.New, key)
		hash.Write(base)
		return hash.Sum(nil)
	})
}

func newSigner(keyID, algorithm string, mark func([]byte) []byte) (*Signer, error) {
	if keyID == "" || strings.ContainsFunc(keyID, needsEscape) {
		return nil, fmt.Errorf("reli: %q is no id of a request signing key", keyID)
	}
	return &Signer{keyID: keyID, algorithm: algorithm, mark: mark, now: time.Now, nonce: rand.Text}, nil
}

// needsEscape tells the characters that a string of RFC 8941 cannot have as they are.
func needsEscape(letter rune) bool {
	return letter < ' ' || letter > '~' || letter == '"' || letter == '\\'
}

// SignRequest signs a REST request, which must be sent as it then is: it sets Content-Digest,
// Signature-Input and Signature, and leaves the body to be read anew. Set Idempotency-Key before.
// Sign every attempt: a signature is good for one.
func (s *Signer) SignRequest(request *http.Request) error {
	var body []byte
	if request.Body != nil && request.Body != http.NoBody {
		content, err := io.ReadAll(request.Body)
		if err := errors.Join(err, request.Body.Close()); err != nil {
			return fmt.Errorf("reli: %w", err)
		}
		body = content
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		request.Body, _ = request.GetBody()
		request.ContentLength = int64(len(body))
	}
	authority := request.Host
	if authority == "" {
		authority = request.URL.Host
	}
	path, _, _ := strings.Cut(request.URL.RequestURI(), "?")
	method := request.Method
	if method == "" {
		method = http.MethodGet
	}
	headers := s.sign([]component{
		{"@method", method},
		{"@authority", strings.ToLower(authority)},
		{"@path", path},
		{"@query", "?" + request.URL.RawQuery},
	}, request.Header.Values(idempotencyKey), body)
	for ; len(headers) > 0; headers = headers[2:] {
		request.Header.Set(headers[0], headers[1])
	}
	return nil
}

// component is a part of a request that a signature covers.
type component struct{ name, value string }

// sign returns the headers that a request needs beside its own: name, value, name, value.
func (s *Signer) sign(covered []component, idempotencyKeys []string, body []byte) []string {
	var headers []string
	if len(idempotencyKeys) > 0 {
		covered = append(covered, component{idempotencyKey, strings.TrimSpace(strings.Join(idempotencyKeys, ", "))})
	}
	if len(body) > 0 {
		hash := sha256.Sum256(body)
		digest := "sha-256=:" + base64.StdEncoding.EncodeToString(hash[:]) + ":"
		covered = append(covered, component{"content-digest", digest})
		headers = append(headers, "content-digest", digest)
	}
	var base strings.Builder
	names := make([]string, len(covered))
	for i, one := range covered {
		names[i] = `"` + one.name + `"`
		fmt.Fprintf(&base, "%s: %s\n", names[i], one.value)
	}
	parameters := fmt.Sprintf(
		`(%s);created=%d;keyid="%s";alg="%s";nonce="%s"`,
		strings.Join(names, " "), s.now().Unix(), s.keyID, s.algorithm, s.nonce(),
	)
	fmt.Fprintf(&base, `"@signature-params": %s`, parameters)
	mark := base64.StdEncoding.EncodeToString(s.mark([]byte(base.String())))
	return append(headers, "signature-input", "sig1="+parameters, "signature", "sig1=:"+mark+":")
}
