package reli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Retry is what a program may do about a refusal without knowing its reason.
type Retry string

const (
	// RetryNever says that the same call gets the same answer.
	RetryNever Retry = "never"
	// RetrySameRequest says that nothing was decided, or that it cannot be known: the same request,
	// under the same request id, may be sent again after a pause.
	RetrySameRequest Retry = "same_request"
	// RetryLater says that the same request may be sent again after [Refusal.Wait].
	RetryLater Retry = "later"
)

// Refusal is the error of a call that had no answer, found by errors.As. It is a status of gRPC as
// well: status.FromError and status.Code know it.
type Refusal struct {
	// Code is that of gRPC.
	Code codes.Code
	// Reason is a name that never changes, such as "INSUFFICIENT_FUNDS"; docs/errors.md lists all.
	// Empty where the platform did not say it: the connection broke, the time was over.
	Reason string
	// Retry is RetrySameRequest where the platform did not say it.
	Retry Retry
	// Wait is how long to wait at least; zero unless it is told.
	Wait time.Duration
	// Metadata has what else there is to know about this reason.
	Metadata map[string]string
	// Message is for people and may change.
	Message string
	// InDoubt is whether the call may have taken effect all the same: the answer to one of its
	// attempts was lost, and nothing that was heard since tells its outcome. Ask for that by sending
	// the call again under the same request id. It means nothing where a call only reads.
	InDoubt bool

	status *status.Status
}

func (r *Refusal) Error() string {
	if r.Reason == "" {
		return fmt.Sprintf("%v: %s", r.Code, r.Message)
	}
	return fmt.Sprintf("%s (%v): %s", r.Reason, r.Code, r.Message)
}

// GRPCStatus returns the whole of what was answered.
func (r *Refusal) GRPCStatus() *status.Status { return r.status }

// isOutcome tells whether the refusal is kept under its request id like an answer: a call that had
// taken effect would have been answered with that effect, however often it was sent.
func (r *Refusal) isOutcome() bool {
	return r.Code == codes.FailedPrecondition || r.Code == codes.AlreadyExists
}

func refusalOf(err error) *Refusal {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	said, _ := status.FromError(err)
	return refusalOfStatus(said)
}

func refusalOfStatus(said *status.Status) *Refusal {
	refusal := &Refusal{Code: said.Code(), Message: said.Message(), Retry: RetrySameRequest, status: said}
	for _, detail := range said.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			refusal.Reason, refusal.Metadata = detail.GetReason(), detail.GetMetadata()
			if retry := detail.GetMetadata()["retry"]; retry != "" {
				refusal.Retry = Retry(retry)
			}
		case *errdetails.RetryInfo:
			refusal.Wait = max(0, detail.GetRetryDelay().AsDuration())
		}
	}
	refusal.InDoubt = refusal.Retry == RetrySameRequest
	return refusal
}

// streamError returns what ends a stream: nil, io.EOF at a good end, or a refusal.
func streamError(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return refusalOf(err)
}

const (
	pauseUnit = 100 * time.Millisecond
	pauseMax  = 2 * time.Second
)

// pause returns how long to wait after an attempt, counted from 1: as long as is told, and a part
// of what doubles with every attempt, so that callers who failed together do not come back together.
// The chance is in [0, 1).
func (r *Refusal) pause(attempt int, chance float64) time.Duration {
	spread := min(pauseMax, pauseUnit<<min(attempt, 10))
	return r.Wait + time.Duration(chance*float64(spread))
}

// sleep waits and tells whether that fitted into the time there is; it does not begin to if not.
func sleep(ctx context.Context, pause time.Duration) bool {
	if deadline, isBounded := ctx.Deadline(); isBounded && time.Until(deadline) <= pause {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
