package reli

import (
	"context"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	quotev1 "reli.dev/client/gen/reli/quote/v1"
)

func TestAnAddressIsAHostAndAPort(t *testing.T) {
	for address, target := range map[string]string{
		"https://api.example.com":       "dns:///api.example.com:443",
		"https://api.example.com/":      "dns:///api.example.com:443",
		"https://api.example.com:8443":  "dns:///api.example.com:8443",
		"http://127.0.0.1:8080":         "dns:///127.0.0.1:8080",
		"http://localhost":              "dns:///localhost:80",
		"https://[::1]:8443":            "dns:///[::1]:8443",
		"api.example.com:443":           "",
		"grpc://api.example.com":        "",
		"https://":                      "",
		"https://api.example.com/v1":    "",
		"https://api.example.com/?a=b":  "",
		"https://key@api.example.com":   "",
		"https://api.example.com:\x00":  "",
		"unix:///run/reli.socket":       "",
		"https://api.example.com:x1234": "",
	} {
		connection, err := Connect(address, "reli_key", Options{})
		if err == nil {
			defer connection.Close()
		}
		if (err == nil) != (target != "") || (err == nil && connection.CanonicalTarget() != target) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestATLSServerIsBelievedByItsRootCertificate(t *testing.T) {
	// Only its certificate is of use here.
	issuer := httptest.NewTLSServer(nil)
	issuer.Close()
	server := &platform{answers: []func(*call) error{answer(&quotev1.GetQuoteResponse{})}}
	listening := grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(&issuer.TLS.Certificates[0])),
		grpc.UnknownServiceHandler(server.handle), grpc.ForceServerCodecV2(bytesCodec{protoCodec}),
	)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go listening.Serve(listener)
	defer listening.Stop()
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})
	for _, test := range []struct {
		name  string
		roots []byte
		code  codes.Code
	}{
		{"its root", root, codes.OK},
		{"the system's roots", nil, codes.Unavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			connection, err := Connect(
				"https://"+listener.Addr().String(), "reli_key", Options{RootCertificates: test.roots, Attempts: 1},
			)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()

			_, err = quotev1.NewQuoteServiceClient(connection).GetQuote(t.Context(), &quotev1.GetQuoteRequest{})

			if status.Code(err) != test.code {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if _, err := Connect("https://127.0.0.1", "reli_key", Options{RootCertificates: []byte("none")}); err == nil {
		t.Error("what is no PEM was taken for a certificate")
	}
}

func TestAnInterceptorOfTheCallerSeesACallOnce(t *testing.T) {
	var seen []any
	look := func(
		ctx context.Context, method string, request, reply any,
		connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		seen = append(seen, request)
		return invoke(ctx, method, request, reply, connection, options...)
	}
	options := Options{DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(look)}}
	connection, server := connect(t, options, conflict, accepted)
	request := &quotev1.AcceptQuoteRequest{RequestId: "accept-1"}

	_, err := quotev1.NewQuoteServiceClient(connection).AcceptQuote(t.Context(), request)

	if err != nil || len(seen) != 1 || seen[0] != any(request) || len(server.received()) != 2 {
		t.Errorf("%v was seen, %v", seen, err)
	}
}
