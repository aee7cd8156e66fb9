package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// errSetup ends a dial whose phases together take longer than SetupTimeout.
var errSetup = fmt.Errorf("the connection was not ready in time: %w", context.DeadlineExceeded)

// Dial gives a ready connection to one broker: TCP, TLS, ApiVersions and SASL, all of it within SetupTimeout. The error says which step failed,
// and where a mistake in the configuration is likely, which option to look at. A ctx that ends ends it at once with context.Cause(ctx): as it is
// where the caller has cancelled, and with the broker and the step where its time was up, since whoever waited wants to know for what.
func (c *Cluster) Dial(ctx context.Context, addr string) (*Conn, error) {
	setup, cancel := context.WithTimeoutCause(ctx, c.cfg.SetupTimeout, errSetup)
	defer cancel()
	began, step := time.Now(), "TCP connect"
	conn, err := c.dial(setup, addr, &step)
	switch {
	case err == nil:
		c.log.Debug("connected to broker", slog.String("broker", addr), slog.Bool("tls", c.cfg.Security.TLS), slog.String("sasl", c.cfg.Security.Mechanism), slog.Duration("took", time.Since(began)))
		return conn, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("connect to %s, in the step %s: %w%s", addr, step, context.Cause(ctx), stepHint(step))
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case setup.Err() != nil && isTimeout(err):
		return nil, fmt.Errorf("connect to %s: no answer within %s, in the step %s: %w%s", addr, c.cfg.SetupTimeout, step, errSetup, stepHint(step))
	}
	return nil, err
}

// stepHint says what to look at when a step has no answer.
func stepHint(step string) string {
	if step == "TLS handshake" {
		return " (hint: does this port speak TLS? see security.protocol)"
	}
	return ""
}

// isTimeout tells an error that the ending of the set-up's time caused from one that came in its last moment: closing the connection under
// a reader gives net.ErrClosed, a dialer gives its own timeout.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, errSetup) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &timeout) && timeout.Timeout() || hungUp(err)
}

func (c *Cluster) dial(ctx context.Context, addr string, step *string) (_ *Conn, err error) {
	raw, err := c.open(ctx, c.cfg.Network, addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	secured := raw
	if security := &c.cfg.Security; security.TLS {
		*step = "TLS handshake"
		cfg, err := security.tlsConfig(addr)
		if err != nil {
			return nil, fmt.Errorf("prepare TLS for %s: %w", addr, err)
		}
		client := tls.Client(raw, cfg)
		if err := client.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS handshake with %s: %w%s", addr, err, tlsHint(err))
		}
		secured = client
	}
	conn := newConn(addr, raw, secured, &c.cfg)
	// ctx bounds all steps together; the bound of a single request is only there because it must have one.
	within := c.cfg.SetupTimeout + time.Second
	*step = "ApiVersions"
	if err := conn.negotiate(ctx, within); err != nil {
		return nil, err
	}
	if c.cfg.Security.Mechanism != "" {
		*step = "SASL"
		if err := conn.authenticate(ctx, within, &c.cfg.Security); err != nil {
			return nil, err
		}
	}
	conn.phase = ready
	return conn, nil
}

// negotiate asks which versions the broker accepts. Version 0 is what every broker understands, and it says all that is needed.
func (c *Conn) negotiate(ctx context.Context, timeout time.Duration) error {
	body, err := c.Exchange(ctx, timeout, protocol.ApiVersions, 0, false, nil, nil)
	if err != nil {
		return err
	}
	r := NewReader(body)
	if code := kafka.Error(r.Int16()); code != 0 {
		return fmt.Errorf("ask %s for its versions: %w", c.addr, code)
	}
	c.versions = make(map[protocol.ApiKey]span)
	for n := r.ArrayLen(); n > 0; n-- {
		api := protocol.ApiKey(r.Int16())
		c.versions[api] = span{min: r.Int16(), max: r.Int16()}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("ask %s for its versions: %w", c.addr, err)
	}
	return nil
}

// openTCP is the dialer used where Config.Dial is nil. Names are resolved at each dial: there is no stale address to keep.
func (c *Cluster) openTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	if c.cfg.KeepAlive {
		dialer.KeepAlive = 0 // Go's default interval
	}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	err = tcp.SetNoDelay(c.cfg.NoDelay)
	if n := c.cfg.SendBuffer; err == nil && n > 0 {
		err = tcp.SetWriteBuffer(n)
	}
	if n := c.cfg.ReceiveBuffer; err == nil && n > 0 {
		err = tcp.SetReadBuffer(n)
	}
	if err != nil {
		tcp.Close()
		return nil, fmt.Errorf("set socket options: %w", err)
	}
	return conn, nil
}
