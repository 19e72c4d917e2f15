package reli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

const idempotencyKey = "idempotency-key"

// caller is what stands between the generated clients and the connection.
type caller struct {
	signer   *Signer
	timeout  time.Duration
	attempts int
}

func (c *caller) call(
	ctx context.Context,
	method string,
	request, reply any,
	connection *grpc.ClientConn,
	invoke grpc.UnaryInvoker,
	options ...grpc.CallOption,
) error {
	if _, isBounded := ctx.Deadline(); !isBounded {
		bounded, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		ctx = bounded
	}
	message, err := serialize(request)
	if err != nil {
		return err
	}
	attempts := 1
	if isRepeatable(ctx, request) {
		attempts = c.attempts
	}
	isLost := false
	for attempt := 1; ; attempt++ {
		err = invoke(c.sign(ctx, method, message), method, message, reply, connection, options...)
		if err == nil {
			return nil
		}
		refusal := refusalOf(err)
		isLost = isLost || refusal.Retry == RetrySameRequest
		refusal.InDoubt = isLost && !refusal.isOutcome()
		if refusal.Retry == RetryNever || attempt == attempts || !sleep(ctx, refusal.pause(attempt, rand.Float64())) {
			return refusal
		}
	}
}

// isRepeatable tells whether a call has the same effect once and twice: its request has no
// request_id because it changes nothing, or there is a key that says it is the same call.
func isRepeatable(ctx context.Context, request any) bool {
	message := request.(proto.Message).ProtoReflect()
	field := message.Descriptor().Fields().ByName("request_id")
	if field == nil || message.Get(field).String() != "" {
		return true
	}
	return strings.Join(outgoing(ctx, idempotencyKey), "") != ""
}

func outgoing(ctx context.Context, name string) []string {
	sent, _ := metadata.FromOutgoingContext(ctx)
	return sent.Get(name)
}

// sign returns the context of an attempt: each has a time and a nonce of its own.
func (c *caller) sign(ctx context.Context, method string, message serialized) context.Context {
	if c.signer == nil {
		return ctx
	}
	covered := []component{{"@method", "POST"}, {"@path", method}}
	headers := c.signer.sign(covered, outgoing(ctx, idempotencyKey), message)
	return metadata.AppendToOutgoingContext(ctx, headers...)
}

func (c *caller) stream(
	ctx context.Context,
	description *grpc.StreamDesc,
	connection *grpc.ClientConn,
	method string,
	open grpc.Streamer,
	options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if description.ClientStreams {
		opened, err := open(ctx, description, connection, method, options...)
		if err != nil {
			return nil, refusalOf(err)
		}
		return &refusedStream{opened}, nil
	}
	return &deferredStream{open: func(message serialized) (grpc.ClientStream, error) {
		opened, err := open(c.sign(ctx, method, message), description, connection, method, options...)
		if err != nil {
			return nil, refusalOf(err)
		}
		return &refusedStream{opened}, nil
	}}, nil
}

// deferredStream is opened by its only request, because the headers of a stream go out first and
// have to sign it.
type deferredStream struct {
	grpc.ClientStream
	open func(serialized) (grpc.ClientStream, error)
}

func (s *deferredStream) SendMsg(request any) error {
	message, err := serialize(request)
	if err != nil {
		return err
	}
	if s.ClientStream, err = s.open(message); err != nil {
		return err
	}
	return s.ClientStream.SendMsg(message)
}

// refusedStream tells the end of a stream as a refusal, unless it is a good one.
type refusedStream struct{ grpc.ClientStream }

func (s *refusedStream) RecvMsg(reply any) error {
	return streamError(s.ClientStream.RecvMsg(reply))
}

func (s *refusedStream) SendMsg(request any) error {
	return streamError(s.ClientStream.SendMsg(request))
}

// serialized is a message in the very bytes that are signed and sent.
type serialized []byte

func serialize(request any) (serialized, error) {
	message, isMessage := request.(proto.Message)
	if !isMessage {
		return nil, fmt.Errorf("reli: %T is no message", request)
	}
	content, err := proto.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("reli: %w", err)
	}
	return content, nil
}

var protoCodec = encoding.GetCodecV2("proto")

// serializedCodec sends what was serialized before as it is, and everything else as gRPC does.
type serializedCodec struct{ encoding.CodecV2 }

func (c serializedCodec) Marshal(message any) (mem.BufferSlice, error) {
	if content, isSerialized := message.(serialized); isSerialized {
		return mem.BufferSlice{mem.SliceBuffer(content)}, nil
	}
	return c.CodecV2.Marshal(message)
}
