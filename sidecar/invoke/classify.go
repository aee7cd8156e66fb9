package invoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// outcomeHeader lets the handler say the outcome in words. It goes over the status and over the lists of the user.
const outcomeHeader = "Kafka-Sidecar-Outcome"

// maxAnswer is how much of an answer's body is read. What is within it must arrive for the answer to settle a record.
const maxAnswer = 64 << 10

// statuses is the class of every status from 0 to 599.
type statuses [600]Class

// newStatuses puts the user's lists over the standard. Where they overlap the narrower range wins, so that 5xx and 503 can be in
// different lists, and between equals the one that keeps the record longest: retry, then fail, then done.
func newStatuses(standard func(status int) Class, done, retry, fail []StatusRange) statuses {
	type rule struct {
		StatusRange
		class Class
	}
	var rules []rule
	for _, list := range []struct {
		ranges []StatusRange
		class  Class
	}{{done, Done}, {fail, Failed}, {retry, Retry}} {
		for _, r := range list.ranges {
			rules = append(rules, rule{r, list.class})
		}
	}
	slices.SortStableFunc(rules, func(a, b rule) int { return cmp.Compare(b.High-b.Low, a.High-a.Low) })

	var s statuses
	for status := range s {
		s[status] = standard(status)
		for _, r := range rules {
			if r.Low <= status && status <= r.High {
				s[status] = r.class
			}
		}
	}
	return s
}

// defaultClass is the table of the contract.
func defaultClass(status int) Class {
	switch {
	case status < 200:
		return Retry // 101, say: not an answer to a POST, whoever sent it
	case status < 300:
		return Done
	case status < 400:
		return Failed // a redirect is a wrong URL; followed as GET it would lose the record
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return Retry // they concern our credentials, not the record
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return Retry
	case http.StatusNotImplemented:
		return Failed // the one 5xx that waiting does not heal
	}
	if status < 500 {
		return Failed
	}
	return Retry
}

func (s *statuses) class(status int) Class {
	if status < 0 || status >= len(s) {
		return Retry
	}
	return s[status]
}

// outcomeClass reads the value of kafka-sidecar-outcome. given is false when there is none, known when it is none of the four or there are several.
func outcomeClass(values []string) (class Class, given, known bool) {
	if len(values) == 0 {
		return 0, false, false
	}
	if len(values) == 1 {
		switch strings.ToLower(strings.TrimSpace(values[0])) {
		case "done":
			return Done, true, true
		case "retry":
			return Retry, true, true
		case "fail":
			return Failed, true, true
		case "drop":
			return Drop, true, true
		}
	}
	return 0, true, false
}

// judge is go-retryablehttp's CheckRetry: it reads and closes the answer, puts the verdict into the call and says whether it is a retry.
// It is asked exactly once per request.
func (i *Invoker) judge(ctx context.Context, resp *http.Response, err error) (bool, error) {
	c := ctx.(*call)
	if err != nil {
		c.result = c.broken(err)
	} else {
		c.result = i.answer(c, resp)
	}
	return c.result.Class == Retry, nil
}

// answer judges an answer that came.
func (i *Invoker) answer(c *call, resp *http.Response) Result {
	var invocation string
	if i.cfg.Tracer != nil && i.cfg.ingress() {
		invocation = invocationID(resp)
	}
	var says *lambdaSays
	var bodyErr error
	if i.cfg.Kind == Lambda {
		says = new(lambdaSays)
		*says, bodyErr = readLambda(resp)
	} else {
		bodyErr = drain(resp)
	}
	if resp.StatusCode == http.StatusUnauthorized && c.auth != nil {
		c.auth.Refused(c.request)
	}
	source := errorSource(resp)
	r := Result{Status: resp.StatusCode, Code: strconv.Itoa(resp.StatusCode), Class: i.verdicts.class(source, resp.StatusCode), Ingress: source == fromIngress, Invocation: invocation}
	reason := ReasonStatus
	if c.handler {
		if class, given, known := outcomeClass(resp.Header[outcomeHeader]); known {
			r.Class, reason = class, ReasonOutcome
		} else if given {
			i.cfg.OnUnknownOutcome()
		}
	}
	if says != nil && says.failed != "" {
		r.Class, r.Code, reason = Retry, codeFunction, ReasonOutcome
	}
	switch r.Class {
	case Done, Drop:
		if bodyErr != nil { // nothing is settled by half an answer
			r = c.broken(bodyErr)
			r.Status = resp.StatusCode
			if r.Class == Retry && !r.TimedOut {
				// The handler was reached and answered: it counts as an attempt.
				r.Code, r.Gateway, r.Err = codeBody, false, errBody
			}
			return r
		}
	case Retry:
		// A handler that says retry in words was there to say it: that is no gateway's answer, and counts as an attempt.
		r.Gateway = reason == ReasonStatus && (isGateway(resp.StatusCode) || i.verdicts.unregistered(source, resp.StatusCode))
		fallthrough
	case Failed:
		r.RetryAfter, r.HasRetryAfter = parseRetryAfter(resp.Header["Retry-After"], i.cfg.Now())
	}
	if r.Class == Failed || r.Class == Drop {
		r.Reason = reason
	}
	if r.Class != Done {
		r.Err = answerError{status: resp.StatusCode, outcome: reason == ReasonOutcome, class: r.Class, source: source, lambda: says}
	}
	return r
}

// broken judges an exchange that ended without an answer.
func (c *call) broken(err error) Result {
	// The caller's context first: once it has ended, any error may be its consequence.
	if c.parent.Err() != nil {
		return cancelled(c.parent)
	}
	if c.Err() != nil {
		return Result{Class: Retry, Code: codeTimeout, TimedOut: true, Err: errTimeout}
	}
	if errors.Is(err, errHeldBack) {
		return Result{Class: Cancelled, Code: codeCancelled, Err: errHeldBack}
	}
	code, safe := explain(err)
	return Result{Class: Retry, Code: code, Gateway: true, Err: safe}
}

func cancelled(ctx context.Context) Result {
	return Result{Class: Cancelled, Code: codeCancelled, Err: fmt.Errorf("make attempt: %w", context.Cause(ctx))}
}

// isGateway says which statuses tell of the handler's absence rather than of the record.
func isGateway(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// drain reads the body, so that its connection can be used again, and closes it. What is beyond maxAnswer costs the connection instead.
func drain(resp *http.Response) error {
	if resp.Body == http.NoBody {
		return nil
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 {
		return nil // 101: what follows is not a body
	}
	_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	return err
}
