package invoke

import (
	"fmt"
	"strings"
)

// userHeaders are the headers that the user sends with every attempt. They may hold the handler's credentials and go nowhere else.
type userHeaders struct {
	fixed []constantHeader
	host  string // Host header, empty: that of the URL
}

func (i *Invoker) parseUserHeaders(load func() ([]Header, error)) (*userHeaders, error) {
	headers, err := load()
	if err != nil {
		return nil, err
	}
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
		case reserved(name, i.binaryCE), i.cfg.Auth != nil && i.cfg.Auth.Owns(name):
			return nil, fmt.Errorf("check handler headers: %s is set by the sidecar", name)
		default:
			u.fixed = addConstant(u.fixed, name, h.Value)
		}
	}
	return u, nil
}
