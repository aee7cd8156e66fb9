package invoke

import (
	"context"
	"net"
	"time"
)

// guarded is a connection that carries nothing of ours while maySend says no.
//
// Whoever starts an attempt has asked as well, but between that question and the first byte lie the building of the request, perhaps a dial,
// and a handing over to the transport's own goroutine: a process that is frozen in between would send the request when it goes on, for a
// partition that has had another owner for a long time.
type guarded struct {
	net.Conn
	maySend func(time.Time) bool
}

func (c guarded) Write(b []byte) (int, error) {
	if !c.maySend(time.Now()) {
		return 0, errHeldBack
	}
	return c.Conn.Write(b)
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

func guard(dial dialFunc, maySend func(time.Time) bool) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return guarded{c, maySend}, nil
	}
}
