// Package reli calls the Reli platform over gRPC: it authenticates and signs calls, repeats those
// that may be repeated, follows the log of events, and verifies webhooks and receipts.
package reli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Options change how [Connect] connects; the zero value is good for most.
type Options struct {
	// Signer signs every call but streams of requests, which cannot be signed. Nil signs nothing.
	Signer *Signer
	// RootCertificates, in PEM, are believed instead of the system's.
	RootCertificates []byte
	// Timeout bounds a call that has no deadline of its own, all its attempts and pauses together:
	// 5 s unless said. Streams have none.
	Timeout time.Duration
	// Attempts is how often a call is made at most, the first time included: 4 unless said.
	Attempts int
	// DialOptions go on to gRPC. Interceptors among them see a call once, however often it is
	// repeated.
	DialOptions []grpc.DialOption
}

// keepaliveTimeout is how long the answer to a ping may take.
const keepaliveTimeout = 5 * time.Second

// Connect returns a connection for the generated clients, such as quotev1.NewQuoteServiceClient. It
// is opened by the first call, reconnects by itself and serves any number of goroutines; a process
// needs one for each API key.
//
// The address is https://host:port for TLS, or http://host:port in development. What calls return
// as an error is a [*Refusal], unless the request is one that cannot be serialized.
func Connect(address, apiKey string, options Options) (*grpc.ClientConn, error) {
	target, transport, err := destination(address, options.RootCertificates)
	if err != nil {
		return nil, err
	}
	calls := &caller{
		signer:   options.Signer,
		timeout:  cmp.Or(options.Timeout, 5*time.Second),
		attempts: cmp.Or(options.Attempts, 4),
	}
	return grpc.NewClient(target, append(slices.Clone(options.DialOptions),
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(bearer(func() string { return apiKey })),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(serializedCodec{protoCodec})),
		grpc.WithChainUnaryInterceptor(calls.call),
		grpc.WithChainStreamInterceptor(calls.stream),
		// What is repeated is decided by the platform's retry classes and nowhere else.
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: pauseUnit, Multiplier: 2, Jitter: 0.2, MaxDelay: pauseMax},
			MinConnectTimeout: 5 * time.Second,
		}),
		// A connection that died without a word is given up together with the stream that fell silent.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:    silenceMax - keepaliveTimeout,
			Timeout: keepaliveTimeout,
		}),
	)...)
}

func destination(address string, roots []byte) (string, credentials.TransportCredentials, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", nil, fmt.Errorf("reli: %w", err)
	}
	if parsed.Hostname() == "" || parsed.User != nil || parsed.RequestURI() != "/" {
		return "", nil, fmt.Errorf("reli: an address is https://host:port, not %q", parsed.Redacted())
	}
	switch parsed.Scheme {
	case "https":
		secured := &tls.Config{MinVersion: tls.VersionTLS12}
		if roots != nil {
			secured.RootCAs = x509.NewCertPool()
			if !secured.RootCAs.AppendCertsFromPEM(roots) {
				return "", nil, errors.New("reli: no certificate in the PEM of root certificates")
			}
		}
		return "dns:///" + withPort(parsed, "443"), credentials.NewTLS(secured), nil
	case "http":
		return "dns:///" + withPort(parsed, "80"), insecure.NewCredentials(), nil
	}
	return "", nil, fmt.Errorf("reli: an address begins with https:// or http://, not %q", parsed.Scheme)
}

func withPort(address *url.URL, standard string) string {
	return net.JoinHostPort(address.Hostname(), cmp.Or(address.Port(), standard))
}

// bearer gives out the API key. It is a function so that printing a connection cannot show the key.
type bearer func() string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b()}, nil
}

// RequireTransportSecurity lets the key out over http://, which the address has to say.
func (b bearer) RequireTransportSecurity() bool { return false }
