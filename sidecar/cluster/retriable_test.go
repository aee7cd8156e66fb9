package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
)

func TestRetriableTellsWhatHealsFromWhatNeedsAPerson(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{io.EOF, true},
		{io.ErrUnexpectedEOF, true},
		{net.ErrClosed, true},
		{io.ErrClosedPipe, true},
		{os.ErrDeadlineExceeded, true},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{fmt.Errorf("x: %w", syscall.ECONNRESET), true},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, true},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, false},
		{&net.DNSError{Name: "kafka", IsNotFound: true}, true},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, false},
		{tls.RecordHeaderError{}, false},
		{ErrMalformed, false},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, false},
		{errors.New("something"), false},
		{fmt.Errorf("x: %w", kafka.NotLeaderForPartition), true},
		{kafka.SASLAuthenticationFailed, false},
		{fmt.Errorf("x: %w", fmt.Errorf("%w: %w", kafka.SASLAuthenticationFailed, io.EOF)), true},
		{unreachable{kafka.SASLAuthenticationFailed, io.EOF}, true},
		{fmt.Errorf("x: %w", unreachable{kafka.SASLAuthenticationFailed, ErrMalformed}), false},
		{unreachable{fmt.Errorf("x: %w", ErrMalformed), io.EOF}, true},
	} {
		if got := Retriable(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// An independent client keeps the same table after Kafka's own; where ours says otherwise there is a reason.
func TestRetriableCodesAreKafkasOwn(t *testing.T) {
	ours := map[kafka.Error]string{
		kafka.Unknown:                "nothing is known of it, and an outage must not end the sidecar",
		kafka.StaleBrokerEpoch:       "between brokers only",
		rebootstrapRequired:          "a dial goes back to the bootstrap list anyway",
		kafka.ConcurrentTransactions: "the transaction before ends by itself",
		// theirs, not ours
		kafka.ElectionNotNeeded: "we hold no elections",
		133:                     "share groups only",
	}
	for code := kafka.Error(-1); code < 140; code++ {
		theirs, _ := kerr.ErrorForCode(int16(code)).(*kerr.Error)
		if theirs == nil || ours[code] != "" {
			continue
		}
		if got := Retriable(code); got != theirs.Retriable {
			t.Errorf("%d %s: ours %v, theirs %v", code, theirs.Message, got, theirs.Retriable)
		}
	}
}
