package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// coordinator remembers which broker coordinates the group. Safe for concurrent use.
type coordinator struct {
	mu   sync.Mutex
	addr string
}

func (c *coordinator) known() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr
}

func (c *coordinator) set(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addr = addr
}

// forget drops an address that did not answer, unless somebody has found another one meanwhile.
func (c *coordinator) forget(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.addr == addr {
		c.addr = ""
	}
}

// link is one connection to the coordinator, dialled again whenever it is cut, has expired or leads to the wrong broker. It is used by one
// goroutine at a time.
type link struct {
	m    *Member
	conn *cluster.Conn
	// flying is the request that waits for its answer; the one thing here that any goroutine may read.
	flying atomic.Pointer[flight]
}

type flight struct {
	api  protocol.ApiKey
	addr string
	sent time.Time
}

// call sends one request and gives the body of its answer, which nobody has looked into, and when it was sent. A connection that was cut, or has
// gone silent, costs one immediate second try over a new one: every request of ours may be sent twice. The new one leads to the same broker, since
// asking others for the coordinator may meet connections that are silent for the same reason, and the lease does not wait for both.
func (l *link) call(ctx context.Context, timeout time.Duration, api protocol.ApiKey, version int16, body []byte) (answer []byte, sent time.Time, err error) {
	for again := false; ; again = true {
		fresh, err := l.ready(ctx, again)
		if err != nil {
			return nil, time.Time{}, err
		}
		addr := l.conn.Addr()
		sent = l.m.cfg.Now()
		l.flying.Store(&flight{api: api, addr: addr, sent: sent})
		answer, err = l.conn.Exchange(ctx, timeout, api, version, false, body, nil)
		l.flying.Store(nil)
		if err == nil {
			return answer, sent, nil
		}
		l.close()
		if ctx.Err() != nil {
			return nil, sent, context.Cause(ctx)
		}
		if fresh {
			l.m.where.forget(addr)
			return nil, sent, err
		}
	}
}

// ready makes sure of a connection to the coordinator; fresh says that it was dialled just now.
func (l *link) ready(ctx context.Context, again bool) (fresh bool, err error) {
	addr := l.m.where.known()
	if addr == "" {
		if addr, err = l.m.lookup(ctx); err != nil {
			return false, err
		}
	}
	if l.conn != nil && (l.conn.Addr() != addr || l.conn.Expiring()) {
		l.close()
	}
	if l.conn != nil {
		return false, nil
	}
	// A handshake may be slow on a busy machine, but the lease must allow for another try elsewhere.
	limit := min(10*time.Second, l.m.cfg.SessionTimeout/3)
	if again {
		limit /= 2 // a third of the session went by already
	}
	dial, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer of the coordinator within %s: %w", limit, os.ErrDeadlineExceeded))
	defer cancel()
	conn, err := l.m.cfg.Cluster.Dial(dial, addr)
	if err != nil {
		l.m.where.forget(addr)
		return false, err
	}
	l.conn = conn
	return true, nil
}

func (l *link) close() {
	if l.conn != nil {
		_ = l.conn.Close() // nothing was in flight, or what was has failed already
		l.conn = nil
	}
}

// addr is where the link leads, empty when it is down.
func (l *link) addr() string {
	if l.conn == nil {
		return ""
	}
	return l.conn.Addr()
}

// moved notes the codes by which a broker says that it is not, or no longer, the coordinator.
func (l *link) moved(code int16) bool {
	switch kafka.Error(code) {
	case kafka.NotCoordinatorForGroup, kafka.GroupCoordinatorNotAvailable:
		l.m.where.forget(l.addr())
		return true
	}
	return false
}

// lookup asks the cluster for the coordinator.
func (m *Member) lookup(ctx context.Context) (string, error) {
	limit := m.cfg.patience()
	ask, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s: %w", limit, os.ErrDeadlineExceeded))
	defer cancel()
	addr, err := m.cfg.Cluster.Coordinator(ask, m.cfg.GroupID)
	if err != nil {
		return "", fmt.Errorf("look up the coordinator of group %q: %w", m.cfg.GroupID, err)
	}
	m.where.set(addr)
	return addr, nil
}

func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// heals says that trying again may help.
func heals(err error) bool { return cluster.Retriable(err) || timedOut(err) }

// backoff is the wait after the n-th failure in a row: exponential, with jitter so that members do not come back all at once.
func (c *Config) backoff(n int) time.Duration {
	d := c.RetryBackoff
	for ; n > 1 && d < c.RetryBackoffMax; n-- {
		d *= 2
	}
	d = min(d, c.RetryBackoffMax)
	return d*3/4 + rand.N(d/2+1)
}

// pause waits, shorter when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// complaints keeps repeated failures from flooding the log: one line every few seconds.
type complaints struct {
	mu   sync.Mutex
	last time.Time
}

const complaintInterval = 5 * time.Second

// complain logs a failure that is being retried.
func (m *Member) complain(ctx context.Context, message string, err error) {
	now := m.cfg.Now()
	m.complaints.mu.Lock()
	level := slog.LevelDebug
	if m.complaints.last.IsZero() || now.Sub(m.complaints.last) >= complaintInterval {
		m.complaints.last, level = now, slog.LevelWarn
	}
	m.complaints.mu.Unlock()
	m.log.Log(ctx, level, message, slog.Any("err", err)) //nolint:sloglint // every caller gives a constant
}
