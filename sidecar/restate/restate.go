// Package restate asks Restate's Admin API what a handler is: the type decides path, order and identity of requests, and Restate is
// the one who knows it.
//
// Asked is GET {admin}/services/{service}, as restate-server 1.7.12 answers it. What there is instead of a service that is missing comes from GET {admin}/services.
package restate

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	connectTimeout = 3 * time.Second
	maxAnswer      = 16 << 20 // a service's JSON schemas are in the answer
	maxNamed       = 30       // handlers that an error lists
)

// Errors of Type that waiting for Restate to come up does not heal by itself.
var (
	// ErrMissing: nothing is registered under the name.
	ErrMissing = errors.New("not registered")
	// ErrRefused: it is registered, and cannot be invoked from outside.
	ErrRefused = errors.New("cannot be invoked")
)

// Config is one handler at one Restate.
type Config struct {
	AdminURL         string // without query
	Service, Handler string
	TLS              *tls.Config                 // nil: system roots
	Headers          func() (http.Header, error) // of every request; nil: none. Values may be secrets
}

// Client asks one Admin API. It keeps no connection: questions are rare.
type Client struct {
	cfg  Config
	base string
	http *http.Client
}

// New prepares a client and opens no connection.
func New(cfg Config) *Client {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSClientConfig:        cfg.TLS,
		TLSHandshakeTimeout:    connectTimeout,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 256 << 10,
	}
	return &Client{cfg: cfg, base: strings.TrimRight(cfg.AdminURL, "/"), http: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // credentials go where the user sent them
	}}
}

// service is what is read of the Admin API's answer.
type service struct {
	Name     string    `json:"name"`
	Type     string    `json:"ty"` // Service, VirtualObject, Workflow
	Public   *bool     `json:"public"`
	Handlers []handler `json:"handlers"`
}

type handler struct {
	Name   string `json:"name"`
	Type   string `json:"ty"` // Exclusive, Shared, Workflow; absent in a plain service
	Public *bool  `json:"public"`
}

// Type is the handler's type as HANDLER_TYPE words it. Errors hold no secret and name what there is where the handler is missing.
func (c *Client) Type(ctx context.Context) (string, error) {
	var s service
	switch status, err := c.get(ctx, "/services/"+url.PathEscape(c.cfg.Service), &s); {
	case err != nil:
		return "", err
	case status == http.StatusNotFound:
		return "", c.missing(ctx)
	case status != http.StatusOK:
		return "", answered(status)
	}
	i := slices.IndexFunc(s.Handlers, func(h handler) bool { return h.Name == c.cfg.Handler })
	if i < 0 {
		return "", fmt.Errorf("handler %q of service %q is %w; the service has %s", c.cfg.Handler, c.cfg.Service, ErrMissing, list([]service{s}))
	}
	h := s.Handlers[i]
	switch {
	case s.Public != nil && !*s.Public:
		return "", fmt.Errorf("service %q %w: it is private (public is false)", c.cfg.Service, ErrRefused)
	case h.Public != nil && !*h.Public:
		return "", fmt.Errorf("handler %q of service %q %w: it is private (public is false)", c.cfg.Handler, c.cfg.Service, ErrRefused)
	}
	// A handler of an object or a workflow whose type is not said is the one that its service is made of.
	switch s.Type + "/" + h.Type {
	case "Service/":
		return "service", nil
	case "VirtualObject/", "VirtualObject/Exclusive":
		return "object", nil
	case "VirtualObject/Shared":
		return "object-shared", nil
	case "Workflow/", "Workflow/Workflow":
		return "workflow", nil
	case "Workflow/Shared":
		return "workflow-shared", nil
	}
	return "", fmt.Errorf("handler %q of service %q %w: its type %.40q in a %.40q is none that this version knows (set HANDLER_TYPE)",
		c.cfg.Handler, c.cfg.Service, ErrRefused, h.Type, s.Type)
}

// missing words the lack of the service, with what there is.
func (c *Client) missing(ctx context.Context) error {
	var all struct {
		Services []service `json:"services"`
	}
	switch status, err := c.get(ctx, "/services", &all); {
	case err != nil:
		return err
	case status != http.StatusOK:
		return answered(status) // whatever is there, it is no Admin API
	}
	return fmt.Errorf("service %q is %w; registered are %s", c.cfg.Service, ErrMissing, list(all.Services))
}

// list names handlers as a sink does.
func list(services []service) string {
	var names []string
	for _, s := range services {
		for _, h := range s.Handlers {
			names = append(names, fmt.Sprintf("%.100s/%.100s", s.Name, h.Name))
		}
	}
	slices.Sort(names)
	more := ""
	if len(names) > maxNamed {
		more = fmt.Sprintf(" and %d more", len(names)-maxNamed)
		names = names[:maxNamed]
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ") + more
}

func answered(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("answered %d: the credentials are not taken", status)
	case http.StatusNotFound:
		return errors.New("answered 404 to GET /services: this is no Admin API (its port is 9070 by default)")
	}
	return fmt.Errorf("answered %d", status)
}

// get asks once. into is filled for 200 only.
func (c *Client) get(ctx context.Context, path string, into any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, http.NoBody)
	if err != nil {
		return 0, errors.New("not a valid URL")
	}
	if c.cfg.Headers != nil {
		if req.Header, err = c.cfg.Headers(); err != nil {
			return 0, err
		}
		req.Host = req.Header.Get("Host")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, plain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return 0, errors.New("the answer is not the JSON of an Admin API")
	}
	return resp.StatusCode, nil
}

// plain takes the URL out of an error of net/http, and out of what it does not know anything that may quote an answer.
func plain(err error) error {
	var (
		op     *net.OpError
		dns    *net.DNSError
		verify *tls.CertificateVerificationError
		u      *url.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &u) && u.Timeout():
		return errors.New("no answer in time")
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &verify):
		return fmt.Errorf("verify the certificate: %w", verify.Err)
	case errors.As(err, &op):
		return op
	}
	return errors.New("the exchange failed")
}
