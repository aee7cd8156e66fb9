package invoke

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// userHeaders are the headers that the user sends with every attempt. They may hold the handler's credentials and go nowhere else.
type userHeaders struct {
	fixed []constantHeader
	host  string // Host header, empty: that of the URL
}

// rotation keeps the user's headers in step with the file that they come from.
type rotation struct {
	current atomic.Pointer[userHeaders]

	mu     sync.Mutex // held while the file is read
	looked time.Time
}

// rotationInterval is how soon a change of the file is noticed. Reading it for every attempt would cost as much as the attempt.
const rotationInterval = time.Second

// userHeaders gives the headers as they are now. While the file cannot be read or understood, for instance in the middle of its being
// replaced, the last good ones are used.
func (i *Invoker) userHeaders() *userHeaders {
	r := &i.user
	if i.cfg.LoadHeaders == nil || !r.mu.TryLock() { // who does not get the lock uses what is there
		return r.current.Load()
	}
	defer r.mu.Unlock()
	if now := i.cfg.Now(); now.Sub(r.looked) >= rotationInterval {
		r.looked = now
		if headers, err := i.cfg.LoadHeaders(); err == nil {
			if parsed, err := i.parseUserHeaders(headers); err == nil {
				r.current.Store(parsed)
			}
		}
	}
	return r.current.Load()
}

func (i *Invoker) parseUserHeaders(headers []Header) (*userHeaders, error) {
	u := &userHeaders{}
	for _, h := range headers {
		name := strings.ToLower(h.Name)
		switch {
		case !isToken(name):
			return nil, fmt.Errorf("check handler headers: %q is not a header name", h.Name)
		case !validValue(h.Value):
			return nil, fmt.Errorf("check handler headers: the value of %s holds a control character", name)
		case name == "host":
			u.host = h.Value
		case name == "user-agent":
			u.fixed = append(u.fixed, constant(userAgent, h.Value))
		case reserved(name, i.binaryCE):
			return nil, fmt.Errorf("check handler headers: %s is set by the sidecar", name)
		default:
			u.fixed = addConstant(u.fixed, name, h.Value)
		}
	}
	return u, nil
}
