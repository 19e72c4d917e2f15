package reli

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	eventv1 "reli.dev/client/gen/reli/event/v1"
)

// say answers with a stream that says all of this, and is then cut.
func say(news ...*eventv1.StreamEventsResponse) func(*call) error {
	return func(c *call) error {
		for _, one := range news {
			if err := c.SendMsg(one); err != nil {
				return err
			}
		}
		return nil
	}
}

// hold says all of this, and then nothing for as long as it is listened to.
func hold(news ...*eventv1.StreamEventsResponse) func(*call) error {
	return func(c *call) error {
		if err := say(news...)(c); err != nil {
			return err
		}
		<-c.Context().Done()
		return nil
	}
}

func event(sequence int64) *eventv1.StreamEventsResponse {
	return &eventv1.StreamEventsResponse{
		News:     &eventv1.StreamEventsResponse_Event{Event: &eventv1.Event{Sequence: sequence}},
		Position: sequence,
	}
}

func heartbeat(position int64) *eventv1.StreamEventsResponse {
	return &eventv1.StreamEventsResponse{
		News:     &eventv1.StreamEventsResponse_Heartbeat{Heartbeat: &eventv1.EventHeartbeat{}},
		Position: position,
	}
}

func end(err error) *eventv1.StreamEventsResponse {
	return &eventv1.StreamEventsResponse{
		News: &eventv1.StreamEventsResponse_End{End: status.Convert(err).Proto()},
	}
}

var (
	ended   = end(refused(codes.Unavailable, "STREAM_ENDED", RetrySameRequest, 0))
	revoked = refused(codes.Unauthenticated, "API_KEY_REVOKED", RetryNever, 0)
	tooSlow = end(refused(codes.ResourceExhausted, "EVENT_READER_TOO_SLOW", RetryLater, time.Second))
	allTold = end(nil)
	beyond  = proto.Int64
)

// absent stands for a request without after.
const absent = -1

func TestALogIsToldInOrderWhateverBecomesOfItsStreams(t *testing.T) {
	for _, test := range []struct {
		name    string
		after   *int64
		types   []string
		answers []func(*call) error
		told    []int64
		reason  string
		isGap   bool
		// The position that each stream was opened with.
		opened  []int64
		atLeast time.Duration
		atMost  time.Duration
	}{
		{
			name: "a range ends by itself", after: beyond(0),
			answers: []func(*call) error{say(heartbeat(0), event(1), event(2), heartbeat(2), event(3), allTold)},
			told:    []int64{1, 2, 3}, opened: []int64{0},
		},
		{
			name: "a stream that was cut is opened where it stopped", after: beyond(0),
			answers: []func(*call) error{say(heartbeat(0), event(1), event(2)), say(heartbeat(2), event(3), allTold)},
			told:    []int64{1, 2, 3}, opened: []int64{0, 2}, atMost: 200 * time.Millisecond,
		},
		{
			name: "so is one whose connection broke", after: beyond(4),
			answers: []func(*call) error{broken, broken, say(heartbeat(4), event(5), allTold)},
			told:    []int64{5}, opened: []int64{4, 4, 4}, atMost: 600 * time.Millisecond,
		},
		{
			name: "and one that ended", after: beyond(0),
			answers: []func(*call) error{say(event(1), ended), say(event(2), ended), say(allTold)},
			told:    []int64{1, 2}, opened: []int64{0, 1, 2}, atMost: 400 * time.Millisecond,
		},
		{
			name: "a stream that says nothing for 15 s is dead", after: beyond(0),
			answers: []func(*call) error{hold(event(1)), say(event(2), allTold)},
			told:    []int64{1, 2}, opened: []int64{0, 1}, atLeast: 15 * time.Second, atMost: 15200 * time.Millisecond,
		},
		{
			name: "so is one that never said anything", after: beyond(0),
			answers: []func(*call) error{hold(), say(event(1), allTold)},
			told:    []int64{1}, opened: []int64{0, 0}, atLeast: 15 * time.Second, atMost: 15200 * time.Millisecond,
		},
		{
			name: "heartbeats keep a stream alive", after: beyond(0),
			answers: []func(*call) error{func(c *call) error {
				for range 10 {
					if err := say(heartbeat(0))(c); err != nil {
						return err
					}
					time.Sleep(5 * time.Second)
				}
				return say(event(1), allTold)(c)
			}},
			told: []int64{1}, opened: []int64{0}, atLeast: 50 * time.Second, atMost: 50 * time.Second,
		},
		{
			name: "an event is told once", after: beyond(0),
			answers: []func(*call) error{say(event(1), event(2)), say(event(1), event(2), event(3), allTold)},
			told:    []int64{1, 2, 3}, opened: []int64{0, 2}, atMost: 200 * time.Millisecond,
		},
		{
			name: "a hole is an error", after: beyond(0),
			answers: []func(*call) error{say(event(1), event(3))},
			told:    []int64{1}, opened: []int64{0}, isGap: true,
		},
		{
			name: "a hole before the first event is one too", after: beyond(7),
			answers: []func(*call) error{say(event(9))}, opened: []int64{7}, isGap: true,
		},
		{
			name: "and one that a heartbeat tells of", after: beyond(0),
			answers: []func(*call) error{say(event(1), heartbeat(2))},
			told:    []int64{1}, opened: []int64{0}, isGap: true,
		},
		{
			name: "with a filter there are steps, and the position moves", after: beyond(0), types: []string{"trade.*"},
			answers: []func(*call) error{say(heartbeat(5), event(9), heartbeat(12)), say(event(20), allTold)},
			told:    []int64{9, 20}, opened: []int64{0, 12}, atMost: 200 * time.Millisecond,
		},
		{
			name:    "without a position the first heartbeat tells it",
			answers: []func(*call) error{broken, say(heartbeat(41)), say(event(42), allTold)},
			told:    []int64{42}, opened: []int64{absent, absent, 41}, atMost: 600 * time.Millisecond,
		},
		{
			name: "a refusal that ends a stream is told", after: beyond(0),
			answers: []func(*call) error{say(event(1), end(revoked))},
			told:    []int64{1}, opened: []int64{0}, reason: "API_KEY_REVOKED",
		},
		{
			name: "and one instead of a stream", after: beyond(0),
			answers: []func(*call) error{refuse(refused(codes.InvalidArgument, "EVENTS_EXPIRED", RetryNever, 0))},
			opened:  []int64{0}, reason: "EVENTS_EXPIRED",
		},
		{
			name: "one that is for later is waited for", after: beyond(0),
			answers: []func(*call) error{limited, say(event(1), tooSlow), say(event(2), allTold)},
			told:    []int64{1, 2}, opened: []int64{0, 0, 1}, atLeast: 2 * time.Second, atMost: 2600 * time.Millisecond,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				connection, server := connect(t, Options{}, test.answers...)
				request := &eventv1.StreamEventsRequest{After: test.after, Types: test.types}
				began := time.Now()
				var told []int64
				var failed error

				for event, err := range Events(t.Context(), connection, request) {
					if err != nil {
						failed = err
						continue
					}
					told = append(told, event.GetSequence())
				}

				if !slices.Equal(told, test.told) {
					t.Errorf("%v was told", told)
				}
				if passed := time.Since(began); passed < test.atLeast || passed > test.atMost {
					t.Errorf("it took %v", passed)
				}
				if opened := positions(t, server); !slices.Equal(opened, test.opened) {
					t.Errorf("streams were opened at %v", opened)
				}
				switch {
				case test.isGap:
					if !errors.Is(failed, ErrEventGap) {
						t.Errorf("the error is %v", failed)
					}
				case test.reason != "":
					if reasonOf(t, failed) != test.reason {
						t.Errorf("the error is %v", failed)
					}
				case failed != nil:
					t.Errorf("the error is %v", failed)
				}
				if !proto.Equal(request, &eventv1.StreamEventsRequest{After: test.after, Types: test.types}) {
					t.Errorf("the caller's request is %v", request)
				}
			})
		})
	}
}

func TestAReaderWhoTakesHisTimeHearsTheWholeStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connection, server := connect(t, Options{}, func(c *call) error {
			if err := say(event(1), event(2), event(3))(c); err != nil {
				return err
			}
			for range 40 {
				time.Sleep(5 * time.Second)
				if err := say(heartbeat(3))(c); err != nil {
					return err
				}
			}
			return say(allTold)(c)
		})
		var told []int64

		for event, err := range Events(t.Context(), connection, &eventv1.StreamEventsRequest{After: beyond(0)}) {
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, event.GetSequence())
			time.Sleep(time.Minute)
		}

		if !slices.Equal(told, []int64{1, 2, 3}) || len(server.received()) != 1 {
			t.Errorf("%v was told by %d streams", told, len(server.received()))
		}
	})
}

func TestALogFindsAnotherConnectionWhereOneDiedWithoutAWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connection, server := connect(t, Options{}, hold(event(1)), say(event(2), allTold))
		began := time.Now()
		var told []int64

		for event, err := range Events(t.Context(), connection, &eventv1.StreamEventsRequest{After: beyond(0)}) {
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, event.GetSequence())
			if event.GetSequence() == 1 {
				server.deafen()
			}
		}

		if passed := time.Since(began); !slices.Equal(told, []int64{1, 2}) || passed > 16*time.Second {
			t.Errorf("%v was told after %v", told, passed)
		}
	})
}

func TestALogLivesThroughAnHourWithoutThePlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(time.Hour)
		connection, _ := connect(t, Options{}, func(c *call) error {
			if time.Now().Before(back) {
				return broken(c)
			}
			return say(event(1), allTold)(c)
		})
		var told []int64

		for event, err := range Events(t.Context(), connection, &eventv1.StreamEventsRequest{After: beyond(0)}) {
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, event.GetSequence())
		}

		if !slices.Equal(told, []int64{1}) || time.Since(back) > 2*time.Second {
			t.Errorf("%v was told %v after it was back", told, time.Since(back))
		}
	})
}

func TestAStreamThatWasCutIsOpenedSoonIfItSaidAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers []func(*call) error
		for sequence := range int64(30) {
			answers = append(answers, say(event(sequence+1)))
		}
		connection, _ := connect(t, Options{}, append(answers, say(allTold))...)
		began, told := time.Now(), 0

		for _, err := range Events(t.Context(), connection, &eventv1.StreamEventsRequest{After: beyond(0)}) {
			if err != nil {
				t.Fatal(err)
			}
			told++
		}

		if passed := time.Since(began); told != 30 || passed > 30*200*time.Millisecond {
			t.Errorf("%d were told after %v", told, passed)
		}
	})
}

func TestAStreamThatOnlyEndedIsNotOpenedWithoutAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connection, server := connect(t, Options{}, say(ended))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		for range Events(ctx, connection, &eventv1.StreamEventsRequest{After: beyond(0)}) {
		}

		// A pause is a second on average, once it has grown.
		if opened := len(server.received()); opened < 30 || opened > 150 {
			t.Errorf("%d streams were opened in a minute", opened)
		}
	})
}

func TestALogEndsWithItsContext(t *testing.T) {
	for name, answer := range map[string]func(*call) error{
		"while it waits for an event":  hold(heartbeat(0)),
		"while it waits for a stream":  broken,
		"while it waits until later":   limited,
		"while it never was connected": hold(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				connection, _ := connect(t, Options{}, answer)
				ctx, cancel := context.WithCancel(t.Context())
				began := time.Now()
				time.AfterFunc(10*time.Second, cancel)
				var errs []error

				for _, err := range Events(ctx, connection, &eventv1.StreamEventsRequest{After: beyond(0)}) {
					errs = append(errs, err)
				}

				if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) || time.Since(began) != 10*time.Second {
					t.Errorf("after %v came %v", time.Since(began), errs)
				}
			})
		})
	}
}

func TestAStreamIsLeftWithTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := make(chan struct{})
		connection, _ := connect(t, Options{}, func(c *call) error {
			defer close(left)
			return hold(event(1))(c)
		})

		began := time.Now()

		for range Events(t.Context(), connection, &eventv1.StreamEventsRequest{After: beyond(0)}) {
			break
		}

		<-left
		if passed := time.Since(began); passed != 0 {
			t.Errorf("it was left after %v", passed)
		}
	})
}

// positions returns what each stream was opened with.
func positions(t *testing.T, server *platform) []int64 {
	t.Helper()
	var opened []int64
	for _, one := range server.received() {
		var request eventv1.StreamEventsRequest
		if err := proto.Unmarshal(one.message, &request); err != nil {
			t.Fatal(err)
		}
		if request.After == nil {
			opened = append(opened, absent)
		} else {
			opened = append(opened, request.GetAfter())
		}
	}
	return opened
}
