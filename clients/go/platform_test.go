package reli

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// call is what a server has received.
type call struct {
	grpc.ServerStream
	method   string
	metadata metadata.MD
	message  []byte
}

// platform is a server in this process: it answers every call with the next answer, the last one
// for ever.
type platform struct {
	mutex   sync.Mutex
	calls   []*call
	answers []func(*call) error
	lines   []*line
}

// connect returns a connection to a platform that ends with the test.
func connect(t *testing.T, options Options, answers ...func(*call) error) (*grpc.ClientConn, *platform) {
	t.Helper()
	server := &platform{answers: answers}
	listener := bufconn.Listen(1 << 20)
	listening := grpc.NewServer(
		grpc.UnknownServiceHandler(server.handle), grpc.ForceServerCodecV2(bytesCodec{protoCodec}),
	)
	done := make(chan error)
	go func() { done <- listening.Serve(listener) }()
	options.DialOptions = append(options.DialOptions, grpc.WithContextDialer(
		func(ctx context.Context, _ string) (net.Conn, error) {
			dialed, err := listener.DialContext(ctx)
			opened := &line{Conn: dialed}
			server.mutex.Lock()
			defer server.mutex.Unlock()
			server.lines = append(server.lines, opened)
			return opened, err
		},
	))
	connection, err := Connect("http://127.0.0.1:8080", "reli_key", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		connection.Close()
		listening.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return connection, server
}

func (p *platform) handle(_ any, stream grpc.ServerStream) error {
	one := &call{ServerStream: stream}
	one.method, _ = grpc.MethodFromServerStream(stream)
	one.metadata, _ = metadata.FromIncomingContext(stream.Context())
	if err := stream.RecvMsg(&one.message); err != nil {
		return err
	}
	p.mutex.Lock()
	answer := p.answers[min(len(p.calls), len(p.answers)-1)]
	p.calls = append(p.calls, one)
	p.mutex.Unlock()
	return answer(one)
}

// received returns the calls so far.
func (p *platform) received() []*call {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.calls[:len(p.calls):len(p.calls)]
}

// deafen loses what is sent over the connections that there are, and tells nobody.
func (p *platform) deafen() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, one := range p.lines {
		one.isDeaf.Store(true)
	}
}

type line struct {
	net.Conn
	isDeaf atomic.Bool
}

func (l *line) Write(content []byte) (int, error) {
	if l.isDeaf.Load() {
		return len(content), nil
	}
	return l.Conn.Write(content)
}

// header returns a value that must be there once.
func (c *call) header(t *testing.T, name string) string {
	t.Helper()
	values := c.metadata.Get(name)
	if len(values) != 1 {
		t.Fatalf("%s is %q", name, values)
	}
	return values[0]
}

// answer returns an answer of one message, whatever type the caller takes it for.
func answer(message any) func(*call) error {
	return func(c *call) error { return c.SendMsg(message) }
}

func refuse(err error) func(*call) error {
	return func(*call) error { return err }
}

// refused returns a refusal as the platform makes it.
func refused(code codes.Code, reason string, retry Retry, wait time.Duration) error {
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{
		Reason:   reason,
		Domain:   "reli.dev",
		Metadata: map[string]string{"retry": string(retry), "field": "side"},
	}}
	if wait > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
	}
	said, err := status.New(code, "it was refused").WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return said.Err()
}

// bytesCodec receives messages as they came.
type bytesCodec struct{ encoding.CodecV2 }

func (c bytesCodec) Unmarshal(data mem.BufferSlice, into any) error {
	*into.(*[]byte) = data.Materialize()
	return nil
}

func mustParse(address string) *url.URL {
	parsed, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return parsed
}
