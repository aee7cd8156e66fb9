package harness

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// GroupKeys are the requests that go to a group's coordinator alone.
var GroupKeys = []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.OffsetCommit, kmsg.OffsetFetch}

// Proxy stands between sidecars and a real broker. It understands as much of the protocol as it takes to tell requests apart, so that a test
// can hold one of them back, let connections of one purpose go silent, and see who ends a connection. It does not speak TLS.
type Proxy struct {
	Addr string // what sidecars connect to

	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	cond  sync.Cond
	conns map[*proxied]struct{}
	holds []*Hold
	lost  []kmsg.Key // connections that carry one of these go silent
	seen  map[kmsg.Key]int
	made  int // connections
	cuts  []string
	over  bool
}

// ProxiedReal is PrivateReal for one node with a proxy in front of a further listener, which is called PROXIED. Only who bootstraps from the
// proxy's address goes through it.
func ProxiedReal(t testing.TB, o realkafka.Options, protocol string) (*Broker, *Proxy) {
	t.Helper()
	l, err := net.Listen("tcp", FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), listener: l, conns: map[*proxied]struct{}{}, seen: map[kmsg.Key]int{}}
	p.cond.L = &p.mu
	t.Cleanup(p.close)
	o.Listeners = append(slices.Clone(o.Listeners), realkafka.Listener{Name: "PROXIED", Protocol: protocol, Port: l.Addr().(*net.TCPAddr).Port})
	b := PrivateReal(t, o)
	p.target = b.Real.Node(1).ListenAddr("PROXIED")
	p.running.Go(p.accept)
	return b, p
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = c.Close() // the broker is down, so nobody listens
			continue
		}
		conn := &proxied{proxy: p, client: c, broker: broker, flying: map[int32]request{}}
		p.mu.Lock()
		p.conns[conn] = struct{}{}
		p.made++
		p.mu.Unlock()
		p.running.Go(func() { conn.carry(conn.client, conn.broker, false) })
		p.running.Go(func() { conn.carry(conn.broker, conn.client, true) })
	}
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.over = true
	for c := range p.conns {
		_ = c.client.Close()
		_ = c.broker.Close()
	}
	p.cond.Broadcast()
	p.mu.Unlock()
	p.running.Wait()
}

// Made is the number of connections that have been made so far.
func (p *Proxy) Made() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made
}

// Cuts are the connections that the broker has ended, each by the last request that was on it.
func (p *Proxy) Cuts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.cuts)
}

// Silence lets nothing more through the connections that there are and that have carried one of the requests, as a middlebox does that has
// forgotten them; none named means all. New connections work. It returns how many were silenced.
func (p *Proxy) Silence(apis ...kmsg.Key) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if len(apis) == 0 || slices.ContainsFunc(apis, func(api kmsg.Key) bool { return slices.Contains(c.carried, api) }) {
			c.silent = true
			n++
		}
	}
	return n
}

// Lose is Silence for all, the connections to come included, from the moment on at which they carry one of the requests. Pass ends it.
func (p *Proxy) Lose(apis ...kmsg.Key) {
	p.Silence(apis...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = apis
}

// Pass lets everything through again that was lost or silenced. What was held up arrives late, as with packets that are sent again.
func (p *Proxy) Pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = nil
	for c := range p.conns {
		c.silent = false
	}
	p.cond.Broadcast()
}

// Passed is how many requests of a kind went through so far.
func (p *Proxy) Passed(api kmsg.Key) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[api]
}

// Hold is a place in the conversation where clients are held.
type Hold struct {
	proxy    *Proxy
	clientID string
	api      kmsg.Key
	answer   bool
	nth      int // 0: every one
	to       int // how many have still to come until the nth
	reached  bool
	released bool
}

// HoldRequest holds the client's nth request of a kind back, before the broker has seen it, and with it everything after it on that connection.
// No client id means any client, 0 every one of its requests.
func (p *Proxy) HoldRequest(clientID string, api kmsg.Key, nth int) *Hold {
	return p.hold(&Hold{proxy: p, clientID: clientID, api: api, nth: nth})
}

// HoldAnswer is HoldRequest for the answer: the broker has done what was asked, the client does not know.
func (p *Proxy) HoldAnswer(clientID string, api kmsg.Key, nth int) *Hold {
	return p.hold(&Hold{proxy: p, clientID: clientID, api: api, nth: nth, answer: true})
}

func (p *Proxy) hold(h *Hold) *Hold {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.to = h.nth
	p.holds = append(p.holds, h)
	return h
}

// String says where the hold is.
func (h *Hold) String() string {
	what := "request"
	if h.answer {
		what = "answer"
	}
	return h.api.Name() + " " + what + " " + strconv.Itoa(h.nth)
}

// Wait waits until the client has come to the place.
func (h *Hold) Wait(t testing.TB) {
	t.Helper()
	Eventually(t, Patience, func() (bool, string) {
		h.proxy.mu.Lock()
		defer h.proxy.mu.Unlock()
		return h.reached, fmt.Sprintf("client %q has not come to %s", h.clientID, h)
	})
}

// Release lets what was held go on.
func (h *Hold) Release() {
	h.proxy.mu.Lock()
	defer h.proxy.mu.Unlock()
	h.released = true
	h.proxy.cond.Broadcast()
}

// request is the head of one.
type request struct {
	api         kmsg.Key
	correlation int32
	clientID    string
}

// proxied is one connection through the proxy.
type proxied struct {
	proxy          *Proxy
	client, broker net.Conn

	// Under proxy.mu.
	silent, ended bool
	carried       []kmsg.Key
	flying        map[int32]request
	last          string
}

// carry moves frames in one direction until either side ends.
func (c *proxied) carry(from, to net.Conn, answers bool) {
	for {
		frame, err := readFrame(from)
		if err != nil {
			break
		}
		if !c.pass(frame, answers) {
			break
		}
		if _, err := to.Write(frame); err != nil {
			break
		}
	}
	p := c.proxy
	p.mu.Lock()
	if !c.ended && answers && !p.over {
		p.cuts = append(p.cuts, c.last)
	}
	c.ended = true
	delete(p.conns, c)
	p.cond.Broadcast()
	p.mu.Unlock()
	_ = c.client.Close()
	_ = c.broker.Close()
}

// pass waits for as long as the frame is held up. It is false when the connection has ended meanwhile.
func (c *proxied) pass(frame []byte, answers bool) bool {
	p := c.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	var r request
	if answers {
		correlation := int32(binary.BigEndian.Uint32(frame[4:]))
		r = c.flying[correlation]
		delete(c.flying, correlation)
	} else {
		r = parseRequest(frame)
		c.flying[r.correlation] = r
		c.last = r.api.Name()
		if !slices.Contains(c.carried, r.api) {
			c.carried = append(c.carried, r.api)
		}
		c.silent = c.silent || slices.Contains(p.lost, r.api)
	}
	var held *Hold
	for _, h := range p.holds {
		if h.api != r.api || h.answer != answers || h.clientID != "" && h.clientID != r.clientID {
			continue
		}
		if h.to--; !h.released && (h.to == 0 || h.nth == 0) {
			h.reached, held = true, h
		}
	}
	for !c.ended && !p.over && (c.silent || held != nil && !held.released) {
		p.cond.Wait()
	}
	if c.ended || p.over {
		return false
	}
	if !answers {
		p.seen[r.api]++
	}
	return true
}

// parseRequest reads the head of a request, whose beginning is the same in every version.
func parseRequest(frame []byte) request {
	var r request
	if len(frame) < 14 {
		return r
	}
	r.api = kmsg.Key(binary.BigEndian.Uint16(frame[4:]))
	r.correlation = int32(binary.BigEndian.Uint32(frame[8:]))
	if n := int(int16(binary.BigEndian.Uint16(frame[12:]))); n > 0 && len(frame) >= 14+n {
		r.clientID = string(frame[14 : 14+n])
	}
	return r
}

// readFrame reads one frame with its length.
func readFrame(from io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 4 || n > 64<<20 {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	frame := append(head, make([]byte, n)...)
	_, err := io.ReadFull(from, frame[4:])
	return frame, err
}
