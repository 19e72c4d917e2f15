package reli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	eventv1 "reli.dev/client/gen/reli/event/v1"
)

// ErrEventGap says that a log was told with a hole in it, which must never happen.
var ErrEventGap = errors.New("reli: an event is missing")

// silenceMax is how long a stream that lives says nothing at most; a heartbeat is due after 5 s.
const silenceMax = 15 * time.Second

// Events follows a tenant's log over a connection of [Connect]: every event that the request asks
// for, in order and none twice.
//
// A stream that was cut, that ended or that says nothing for 15 s is opened again where it stopped,
// for as long as the context lives. An error ends it all and comes with a nil event: the context's,
// [ErrEventGap], or the [*Refusal] of what asking again in the time that is left cannot mend, such as
// API_KEY_REVOKED. With until, the log ends by itself.
//
// Whoever stores the sequence of the last event that he has dealt with goes on after it.
func Events(
	ctx context.Context, connection grpc.ClientConnInterface, request *eventv1.StreamEventsRequest,
) iter.Seq2[*eventv1.Event, error] {
	return func(yield func(*eventv1.Event, error) bool) {
		log := &eventLog{
			client:  eventv1.NewEventServiceClient(connection),
			request: proto.CloneOf(request),
			yield:   yield,
		}
		for failures := 1; ; failures++ {
			heard, err := log.follow(ctx)
			if err == nil {
				return
			}
			if heard {
				failures = 1
			}
			var refusal *Refusal
			if errors.As(err, &refusal) && refusal.Retry != RetryNever &&
				sleep(ctx, refusal.pause(failures, rand.Float64())) {
				continue
			}
			yield(nil, cmp.Or(ctx.Err(), err))
			return
		}
	}
}

// eventLog knows how far it has come: after of its request, absent until that is known.
type eventLog struct {
	client  eventv1.EventServiceClient
	request *eventv1.StreamEventsRequest
	yield   func(*eventv1.Event, error) bool
}

// follow reads one stream. It returns whether that said anything, and why it stopped: nil if no more
// is wanted, or all of a range was told.
func (l *eventLog) follow(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// It runs only while we wait: a reader who takes his time is not the platform's silence.
	silence := time.AfterFunc(silenceMax, cancel)
	defer silence.Stop()
	stream, err := l.client.StreamEvents(ctx, l.request)
	if err != nil {
		return false, err
	}
	for ; ; heard = true {
		silence.Reset(silenceMax)
		news, err := stream.Recv()
		silence.Stop()
		if err == io.EOF {
			err = refusalOfStatus(status.New(codes.Unavailable, "the stream was cut"))
		}
		if err != nil {
			return heard, err
		}
		if end := news.GetEnd(); end != nil {
			if end.GetCode() == int32(codes.OK) {
				return true, nil
			}
			return heard, refusalOfStatus(status.FromProto(end))
		}
		isNew, err := l.advance(news)
		if err != nil {
			return true, err
		}
		if isNew && !l.yield(news.GetEvent(), nil) {
			return true, nil
		}
	}
}

// advance moves the position to that of the message and tells whether it has an event that was not
// told before. In a log without a filter every step is an event.
func (l *eventLog) advance(news *eventv1.StreamEventsResponse) (isNew bool, err error) {
	event, position := news.GetEvent(), news.GetPosition()
	if event != nil {
		position = event.GetSequence()
	}
	if l.request.After == nil {
		l.request.After = &position
		return event != nil, nil
	}
	after := l.request.GetAfter()
	if position <= after {
		return false, nil
	}
	if len(l.request.GetTypes()) == 0 && (event == nil || position > after+1) {
		return false, fmt.Errorf("%w: after %d came %d", ErrEventGap, after, position)
	}
	l.request.After = &position
	return event != nil, nil
}
