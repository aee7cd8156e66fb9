package invoke

import (
	"fmt"
	"strings"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
)

// userHeaders are the headers that the user sends with every attempt. They may hold the handler's credentials and go nowhere else.
type userHeaders struct {
	fixed []constantHeader
	host  string // Host header, empty: that of the URL
}

// userHeaders follows the headers of the configuration where they can change.
func (i *Invoker) userHeaders() (*reload.Value[*userHeaders], error) {
	if i.cfg.LoadHeaders != nil {
		return reload.New(func() (*userHeaders, error) {
			headers, err := i.cfg.LoadHeaders()
			if err != nil {
				return nil, err
			}
			return i.parseUserHeaders(headers)
		})
	}
	user, err := i.parseUserHeaders(i.cfg.Headers)
	return reload.Fixed(user), err
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
		case reserved(name, i.binaryCE), i.cfg.Auth != nil && i.cfg.Auth.Owns(name):
			return nil, fmt.Errorf("check handler headers: %s is set by the sidecar", name)
		default:
			u.fixed = addConstant(u.fixed, name, h.Value)
		}
	}
	return u, nil
}
