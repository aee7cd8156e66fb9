package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// span is the versions of one API that a broker accepts.
type span struct{ min, max int16 }

// Conn is a ready connection to one broker: protected, authenticated, versions known. It carries one request at a time; a second caller waits
// for its turn. A request that fails, times out or is cancelled closes it, because Kafka's protocol has no way to find the start of the next
// answer again: an answer that comes late can so never be taken for that of a later request. Safe for concurrent use.
type Conn struct {
	addr     string
	clientID string
	limit    int32         // MaxResponseBytes
	timeout  time.Duration // where a request names none
	sasl     bool

	raw  net.Conn // what a failure closes: closing the TLS layer may wait for a peer that no longer reads
	net  net.Conn // raw, or TLS over it
	read *bufio.Reader
	dead atomic.Bool

	versions map[protocol.ApiKey]span
	renewal  time.Time // see Expiring; zero: never

	turn        chan struct{} // holds a token while a request is under way; guards what follows
	correlation int32
	answered    bool // a request after the set-up was answered once
	phase       phase
	out         []byte
}

// phase says how far a connection's set-up has come: what a peer that hangs up means differs.
type phase int

const (
	negotiating phase = iota // ApiVersions
	authenticating
	ready
)

func newConn(addr string, raw, secured net.Conn, cfg *Config) *Conn {
	return &Conn{
		addr: addr, clientID: cfg.ClientID, limit: cfg.MaxResponseBytes, timeout: cfg.RequestTimeout, sasl: cfg.Security.Mechanism != "",
		raw: raw, net: secured, read: bufio.NewReader(secured), turn: make(chan struct{}, 1),
	}
}

// Addr is the address that was dialled.
func (c *Conn) Addr() string { return c.addr }

// Expiring says that the broker will soon end the connection at the next request, for want of a new authentication (KIP-368,
// connections.max.reauth.ms). kafka-go cannot authenticate a live connection again, so its owner asks before each request and dials a new one.
// A request that was sent in time is answered, however long that takes.
func (c *Conn) Expiring() bool { return !c.renewal.IsZero() && !time.Now().Before(c.renewal) }

// lives notes how long the broker keeps the session. It is renewed after 85 to 95 percent of that, as the Java client does, so that
// connections that were made together are not all made anew together, but early enough for a request that takes a second to arrive.
func (c *Conn) lives(from time.Time, lifetime time.Duration) {
	after := lifetime/100*85 + rand.N(lifetime/10+1)
	c.renewal = from.Add(max(min(after, lifetime-time.Second), lifetime/2))
}

// MaxVersion is the highest version of an API that the broker accepts; false when it does not know the API.
func (c *Conn) MaxVersion(api protocol.ApiKey) (int16, bool) {
	v, ok := c.versions[api]
	return v.max, ok
}

// Close ends the connection; a request under way fails at once. Closing twice is harmless.
func (c *Conn) Close() error {
	c.dead.Store(true)
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
		return ignoreClosed(c.net.Close()) // idle: over TLS the peer is told
	default:
		return ignoreClosed(c.raw.Close())
	}
}

// kill ends the connection after a failure, without a word to the peer.
func (c *Conn) kill() {
	c.dead.Store(true)
	c.raw.Close()
}

// broken says whether no further request can be made.
func (c *Conn) broken() bool { return c.dead.Load() }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// version picks what to send: the newest that both sides speak.
func (c *Conn) version(api protocol.ApiKey) (int16, error) {
	theirs, ok := c.versions[api]
	if !ok {
		return 0, fmt.Errorf("send %v to %s: the broker does not know this request: %w", api, c.addr, kafka.UnsupportedVersion)
	}
	// SelectVersion looks at the broker's maximum only: a minimum above ours would show as a cut connection.
	v := api.SelectVersion(theirs.min, theirs.max)
	if v < theirs.min || v > theirs.max {
		return 0, fmt.Errorf("send %v to %s: the broker accepts v%d to v%d, this program speaks v%d to v%d: %w",
			api, c.addr, theirs.min, theirs.max, api.MinVersion(), api.MaxVersion(), kafka.UnsupportedVersion)
	}
	return v, nil
}

// Do sends a kafka-go message in the newest version that both sides speak and gives the answer, nil for a request that has none. The error
// codes inside an answer are the caller's to look at. A timeout of 0 is the cluster's default; a cancelled ctx closes the connection at once
// and gives context.Cause(ctx).
func (c *Conn) Do(ctx context.Context, timeout time.Duration, msg protocol.Message) (_ protocol.Message, err error) {
	// kafka-go's codec panics on impossible lengths; checkLayout finds those that we know of, this is for the rest.
	defer func() {
		if p := recover(); p != nil {
			c.kill()
			err = fmt.Errorf("decode %v of %s: %w: %v", msg.ApiKey(), c.addr, ErrMalformed, p)
		}
	}()
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	defer func() { <-c.turn }()
	api := msg.ApiKey()
	version, err := c.version(api)
	if err != nil {
		return nil, err
	}
	if p, ok := msg.(protocol.PreparedMessage); ok {
		p.Prepare(version)
	}
	c.correlation++
	out := bytes.NewBuffer(c.out[:0])
	if err := protocol.WriteRequest(out, version, c.correlation, c.clientID, msg); err != nil {
		return nil, fmt.Errorf("encode %v v%d: %w", api, version, err)
	}
	c.keep(out.Bytes())
	if h, ok := msg.(interface{ HasResponse() bool }); ok && !h.HasResponse() {
		_, err := c.roundTrip(ctx, timeout, api, out.Bytes(), nil, false)
		return nil, err
	}
	// kafka-go decodes from a stream and allocates what a length field says. The frame is therefore read whole, bounded, and looked over first.
	body, err := c.roundTrip(ctx, timeout, api, out.Bytes(), nil, true)
	if err != nil {
		return nil, err
	}
	if err := checkLayout(api, version, body); err != nil {
		c.kill()
		return nil, fmt.Errorf("decode %v v%d of %s: %w", api, version, c.addr, err)
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	head = binary.BigEndian.AppendUint32(head, uint32(c.correlation))
	_, answer, err := protocol.ReadResponse(io.MultiReader(bytes.NewReader(head), bytes.NewReader(body)), api, version)
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("decode %v v%d of %s: %w: %w", api, version, c.addr, ErrMalformed, err)
	}
	return answer, nil
}

// Space gives n bytes for an answer that has arrived as far as its length, so that memory can be asked for before it is taken. It may block, and
// returns an error when ctx is done: meanwhile the rest of the answer stays at the broker, held back by TCP's flow control.
type Space func(ctx context.Context, n int) ([]byte, error)

// Exchange sends a hand-encoded body as the given version and gives the body of the answer, which follows the correlation id and, when
// flexible, the header's tagged fields. The answer is read into what space gives and aliases it; nil allocates. Timeout and ctx are as in Do; the
// time that space takes is not the broker's and not counted.
// ApiVersions is the one API whose answer has no tagged header at any version: exchange it as not flexible.
func (c *Conn) Exchange(ctx context.Context, timeout time.Duration, api protocol.ApiKey, version int16, flexible bool, body []byte, space Space) ([]byte, error) {
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	defer func() { <-c.turn }()
	c.correlation++
	w := Writer{B: c.out[:0]}
	w.Int32(0)
	w.Int16(int16(api))
	w.Int16(version)
	w.Int32(c.correlation)
	w.String(c.clientID)
	if flexible {
		w.Tags()
	}
	w.B = append(w.B, body...)
	binary.BigEndian.PutUint32(w.B, uint32(len(w.B)-4))
	c.keep(w.B)
	answer, err := c.roundTrip(ctx, timeout, api, w.B, space, true)
	if err != nil || !flexible {
		return answer, err
	}
	r := NewReader(answer)
	r.Tags()
	if err := r.Err(); err != nil {
		c.kill()
		return nil, fmt.Errorf("decode %v v%d of %s: %w", api, version, c.addr, err)
	}
	return answer[r.Position():], nil
}

// take waits for the turn. A ctx that ends meanwhile leaves the connection alone: the request under way is somebody else's.
func (c *Conn) take(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// keep holds on to the send buffer unless one large request would pin much memory for the connection's whole life.
func (c *Conn) keep(b []byte) {
	if cap(b) <= 64<<10 {
		c.out = b
	}
}

// roundTrip writes one framed request and reads one answer without its correlation id. Any error closes the connection.
func (c *Conn) roundTrip(ctx context.Context, timeout time.Duration, api protocol.ApiKey, request []byte, space Space, answers bool) ([]byte, error) {
	if timeout <= 0 {
		timeout = c.timeout
	}
	stop := context.AfterFunc(ctx, c.kill)
	defer stop()
	answer, err := func() ([]byte, error) {
		if err := c.raw.SetDeadline(time.Now().Add(timeout)); err != nil {
			return nil, err
		}
		if _, err := c.net.Write(request); err != nil {
			return nil, err
		}
		if !answers {
			return nil, nil
		}
		return c.readFrame(ctx, timeout, space)
	}()
	if err == nil {
		c.answered = c.answered || c.phase == ready
		return answer, nil
	}
	c.kill()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("wait for %v of %s: no answer within %s: %w", api, c.addr, timeout, err)
	}
	return nil, fmt.Errorf("exchange %v with %s: %w%s", api, c.addr, err, c.hint(err))
}

// readFrame reads length, correlation id and body. The length is compared with the bound before anything is allocated for it.
func (c *Conn) readFrame(ctx context.Context, timeout time.Duration, space Space) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(c.read, head[:4]); err != nil {
		return nil, err
	}
	size := int32(binary.BigEndian.Uint32(head[:4]))
	if size < 4 || size > c.limit {
		return nil, &frameError{size: size, limit: c.limit, head: [4]byte(head[:4])}
	}
	if _, err := io.ReadFull(c.read, head[4:]); err != nil {
		return nil, unexpected(err)
	}
	if id := int32(binary.BigEndian.Uint32(head[4:])); id != c.correlation {
		return nil, fmt.Errorf("%w: the answer belongs to request %d, not %d", ErrMalformed, id, c.correlation)
	}
	n := int(size) - 4
	var buf []byte
	if space == nil {
		buf = make([]byte, n)
	} else {
		var err error
		if buf, err = space(ctx, n); err != nil {
			return nil, err
		}
		_ = c.raw.SetReadDeadline(time.Now().Add(timeout)) // on a connection that is gone the read says so
	}
	if _, err := io.ReadFull(c.read, buf); err != nil {
		return nil, unexpected(err)
	}
	return buf, nil
}

// unexpected tells an end inside of an answer from one between answers.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ErrTooLarge is an answer above MaxResponseBytes. Nothing of it was read beyond its length.
var ErrTooLarge = errors.New("answer too large")

// frameError is a length prefix that is refused; it wraps ErrTooLarge or, where no answer can have it, ErrMalformed.
type frameError struct {
	size, limit int32
	head        [4]byte
}

func (e *frameError) Error() string {
	if e.size < 4 {
		return fmt.Sprintf("%v: length %d", ErrMalformed, e.size)
	}
	return fmt.Sprintf("%v: %d bytes are over the bound of %d (receive.message.max.bytes)", ErrTooLarge, e.size, e.limit)
}

func (e *frameError) Unwrap() error {
	if e.size < 4 {
		return ErrMalformed
	}
	return ErrTooLarge
}

// hint says what a failure this early usually means. A broker names none of these mistakes: it hangs up.
func (c *Conn) hint(err error) string {
	plain := c.net == c.raw
	var frame *frameError
	switch {
	case errors.As(err, &frame) && plain && frame.head[0] == 0x15 && frame.head[1] == 0x03: // a TLS alert
		return " (hint: the broker answers in TLS; set security.protocol to ssl or sasl_ssl)"
	case errors.As(err, &frame) && c.phase == negotiating:
		return " (hint: is this the port of a Kafka broker?)"
	case isAlert(err): // with TLS 1.3 a client certificate is judged after the handshake
		return tlsHint(err)
	case hungUp(err) && c.phase == negotiating && plain:
		return " (hint: the broker hung up on the first request; if this port expects TLS, set security.protocol to ssl or sasl_ssl)"
	case hungUp(err) && c.phase == ready && !c.answered && !c.sasl:
		return " (hint: the broker hung up on the first request; if this port expects SASL, set security.protocol to sasl_plaintext or sasl_ssl, and sasl.mechanism)"
	}
	return ""
}

// hungUp says whether the peer ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
