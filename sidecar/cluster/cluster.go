package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Cluster is one Kafka cluster. It is safe for concurrent use; what it dials for others is theirs to close.
type Cluster struct {
	cfg  Config
	log  *slog.Logger
	open func(ctx context.Context, network, addr string) (net.Conn, error)

	mu      sync.Mutex
	brokers map[int32]string // by id, from the newest metadata
	last    string           // the address that answered last

	turn   chan struct{} // holds a token while a lookup uses shared; guards it
	shared *Conn
	closed context.Context
	close  context.CancelCauseFunc
}

// errClosed is what a lookup gives after Close.
var errClosed = fmt.Errorf("the cluster is closed: %w", net.ErrClosed)

// New checks the configuration and connects to nothing. The error lists every mistake.
func New(cfg Config) (*Cluster, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure cluster: %w", err)
	}
	c := &Cluster{cfg: cfg, log: cfg.Logger, open: cfg.Dial, turn: make(chan struct{}, 1)}
	c.closed, c.close = context.WithCancelCause(context.Background())
	if c.open == nil {
		c.open = c.openTCP
	}
	if cfg.Security.TLS && cfg.Security.SkipVerify {
		c.log.Warn("broker certificates are not verified: anybody on the way can read and answer", slog.String("option", "enable.ssl.certificate.verification"))
	}
	return c, nil
}

// Close ends the shared connection, every lookup under way and the source of tokens. Connections from Dial and DialAny stay with their owners.
func (c *Cluster) Close() {
	c.close(errClosed)
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	c.drop()
	if tokens := c.cfg.Security.Tokens; tokens != nil {
		tokens.Close()
	}
}

// drop closes the shared connection; the caller holds the turn.
func (c *Cluster) drop() {
	if c.shared != nil {
		c.shared.Close()
		c.shared = nil
	}
}

// Bootstrap lists the configured brokers, host:port.
func (c *Cluster) Bootstrap() []string { return slices.Clone(c.cfg.Brokers) }

// BrokerAddr is the host:port of a broker in the newest metadata.
func (c *Cluster) BrokerAddr(id int32) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	addr, ok := c.brokers[id]
	return addr, ok
}

// learn takes over the brokers of a metadata answer. An empty list teaches nothing.
func (c *Cluster) learn(brokers map[int32]string) {
	if len(brokers) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brokers = brokers
}

// candidates lists each address once: the one that answered last, the known brokers in random order, the bootstrap list.
func (c *Cluster) candidates() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var addrs []string
	seen := map[string]bool{"": true}
	add := func(addr string) {
		if !seen[addr] {
			seen[addr] = true
			addrs = append(addrs, addr)
		}
	}
	add(c.last)
	for _, addr := range c.brokers { // a map's order is random, which spreads the sidecars over the brokers
		add(addr)
	}
	for _, addr := range c.cfg.Brokers {
		add(addr)
	}
	return addrs
}

// patience is how long DialAny waits for one broker before it tries the next beside it: a host that is gone answers nothing at all, and
// should cost a second and not the whole SetupTimeout.
const patience = time.Second

// DialAny gives a connection to the first of the known brokers and the bootstrap list that becomes ready. When none does, the error holds what
// each of them said.
func (c *Cluster) DialAny(ctx context.Context) (*Conn, error) {
	type result struct {
		addr string
		conn *Conn
		err  error
	}
	addrs := c.candidates()
	race, cancel := context.WithCancel(ctx)
	results := make(chan result)
	running := 0
	var winner *Conn
	defer func() { // the losers are cancelled, waited for, and closed if they came through in their last moment
		cancel()
		for ; running > 0; running-- {
			if r := <-results; r.conn != nil {
				r.conn.Close()
			}
		}
	}()
	var failed unreachable
	next := time.NewTimer(0)
	defer next.Stop()
	for winner == nil && (running > 0 || len(addrs) > 0) {
		select {
		case <-next.C:
			if len(addrs) == 0 {
				continue
			}
			addr := addrs[0]
			addrs = addrs[1:]
			running++
			go func() {
				conn, err := c.Dial(race, addr)
				results <- result{addr, conn, err}
			}()
			next.Reset(patience)
		case r := <-results:
			running--
			if r.err != nil {
				failed = append(failed, r.err)
				next.Reset(0)
				continue
			}
			winner = r.conn
		}
	}
	switch {
	case winner != nil:
		c.mu.Lock()
		c.last = winner.Addr()
		c.mu.Unlock()
		return winner, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, context.Cause(ctx)
	case len(failed) == 1:
		return nil, failed[0]
	}
	return nil, failed
}

// unreachable is what each broker said, when none was ready.
type unreachable []error

func (u unreachable) Error() string {
	text := make([]string, len(u))
	for i, err := range u {
		text[i] = err.Error()
	}
	return fmt.Sprintf("none of %d brokers is reachable: %s", len(u), strings.Join(text, "; "))
}

func (u unreachable) Unwrap() []error { return u }

// ask sends one request over the shared connection. One that was used before may have been closed by the broker for its idleness: that is
// found out by using it, so a request that fails on a used connection goes once more over a new one. All that is asked here only reads.
func (c *Cluster) ask(ctx context.Context, request func(context.Context, *Conn) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(c.closed, func() { cancel(errClosed) })
	defer stop()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.shared != nil {
		if !c.shared.Expiring() {
			err := request(ctx, c.shared)
			if !c.shared.broken() || ctx.Err() != nil || !hungUp(err) && !errors.Is(err, net.ErrClosed) {
				return c.settle(err)
			}
		}
		c.drop()
	}
	conn, err := c.DialAny(ctx)
	if err != nil {
		return err
	}
	c.shared = conn
	return c.settle(request(ctx, conn))
}

// settle forgets the shared connection when the request broke it.
func (c *Cluster) settle(err error) error {
	if c.shared.broken() {
		c.drop()
	}
	return err
}

// Backoff is the wait before try n of a lookup (from 1): exponential from RetryBackoff to RetryBackoffMax, with the upper half random, so that
// sidecars that lost the same broker do not come back together.
func (c *Cluster) Backoff(n int) time.Duration {
	wait := c.cfg.RetryBackoff
	for ; n > 1 && wait < c.cfg.RetryBackoffMax; n-- {
		wait *= 2
	}
	wait = min(wait, c.cfg.RetryBackoffMax)
	return wait/2 + rand.N(wait/2+1)
}

// joinAddr makes host:port of what a broker advertises; an IPv6 address gets its brackets.
func joinAddr(host string, port int32) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
