package harness

import (
	"net"
	"sync"
)

// gate stands in front of kfake's listeners and can make them fail the way networks do.
type gate struct {
	mu    sync.Mutex
	cond  sync.Cond
	mode  gateMode
	conns map[*gatedConn]struct{}
}

type gateMode int

const (
	gateOpen   gateMode = iota
	gateRefuse          // every connection ends at once
	gateStall           // connections stay and carry nothing
)

func newGate() *gate {
	g := &gate{conns: map[*gatedConn]struct{}{}}
	g.cond.L = &g.mu
	return g
}

// listen is a kfake.ListenFn. kfake asks for ports of all interfaces; the loopback is enough and needs no firewall's consent.
func (g *gate) listen(network, address string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen(network, net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	return &gatedListener{Listener: l, gate: g}, nil
}

func (g *gate) open()  { g.set(gateOpen) }
func (g *gate) stall() { g.set(gateStall) }

func (g *gate) refuse() {
	g.set(gateRefuse)
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		_ = c.Conn.Close()
	}
}

// stallConns lets nothing more through the connections that there are; new ones work.
func (g *gate) stallConns() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		c.stalled = true
	}
}

func (g *gate) set(m gateMode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode = m
	if m == gateOpen {
		for c := range g.conns {
			c.stalled = false
		}
	}
	g.cond.Broadcast()
}

type gatedListener struct {
	net.Listener
	gate *gate
}

func (l *gatedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.gate.mu.Lock()
		if l.gate.mode == gateRefuse {
			l.gate.mu.Unlock()
			_ = c.Close()
			continue
		}
		gc := &gatedConn{Conn: c, gate: l.gate}
		l.gate.conns[gc] = struct{}{}
		l.gate.mu.Unlock()
		return gc, nil
	}
}

type gatedConn struct {
	net.Conn
	gate            *gate
	closed, stalled bool // under gate.mu
}

// pass waits while the gate stalls. A closed connection does not wait: its error comes from the connection itself.
func (c *gatedConn) pass() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	for (c.gate.mode == gateStall || c.stalled) && !c.closed {
		c.gate.cond.Wait()
	}
}

func (c *gatedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.pass() // what was read before the stall began, or during it, is held back
	return n, err
}

func (c *gatedConn) Write(b []byte) (int, error) {
	c.pass()
	return c.Conn.Write(b)
}

func (c *gatedConn) Close() error {
	c.gate.mu.Lock()
	c.closed = true
	delete(c.gate.conns, c)
	c.gate.cond.Broadcast()
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
