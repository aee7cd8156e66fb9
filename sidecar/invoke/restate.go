package invoke

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// Restate's ingress as a handler. What is said here was seen from restate-server 1.7.12; restate_test.go has its answers.
//
// A record becomes POST {base}/restate/send/{Service}[/{key}]/{handler}. The answer 202 means that the invocation is in Restate's log, as "Accepted" or,
// for an idempotency-key or a workflow that it knows, as "PreviouslyAccepted"; both settle the record, and retrying, ordering and
// journaling of what the handler does are Restate's from there on. So an object's records stay in order as long as each is sent after the one before was acknowledged,
// which is what a lane does.
//
// The key is one segment, percent-decoded by the ingress and then required to be UTF-8; an empty one is an empty segment. A plus is a plus.
//
// The ingress refuses an idempotency-key on the handler that runs a workflow (400): there the key of the workflow is the identity, and a second run of it is "PreviouslyAccepted".

// sendPath comes between the base URL and the service.
const sendPath = "/restate/send"

// ingress says whether requests go to Restate's ingress.
func (c *Config) ingress() bool { return c.Kind == Service && c.Protocol == "restate" }

// source is who made the answer, by the header x-restate-error-source (since 1.7.4). Answers that are no errors have none, nor have those of
// proxies, nor the ingress's own 413.
type source uint8

const (
	fromHandler    source = iota // not said
	fromIngress                  // the request itself was refused
	fromInvocation               // an invocation failed for good
)

func errorSource(resp *http.Response) source {
	values := resp.Header["X-Restate-Error-Source"]
	if len(values) == 1 && resp.StatusCode >= 400 {
		switch values[0] {
		case "ingress":
			return fromIngress
		case "invocation":
			return fromInvocation
		}
	}
	return fromHandler
}

const (
	maxInvocationAnswer = 1 << 10 // of a body, which is one short object
	maxInvocationID     = 64
)

// invocationID is what the ingress calls the invocation, from the header or from the beginning of the body; the rest of the body is left to be read.
// Anything that does not look like an id is not repeated: it is shown to people.
func invocationID(resp *http.Response) string {
	id := resp.Header.Get("X-Restate-Id")
	if id == "" && resp.StatusCode/100 == 2 {
		// An error of reading stays: whoever reads the rest gets it again.
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxInvocationAnswer))
		var answer struct{ InvocationID string }
		if json.Unmarshal(text, &answer) == nil {
			id = answer.InvocationID
		}
	}
	digits, found := strings.CutPrefix(id, "inv_")
	for k := range len(digits) {
		if c := digits[k]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return ""
		}
	}
	if !found || len(id) > maxInvocationID {
		return ""
	}
	return id
}

// verdicts are the classes of statuses, one table for each source. They differ for the restate protocol only.
type verdicts struct {
	restate bool
	tables  [3]statuses
}

func newVerdicts(cfg Config) verdicts {
	v := verdicts{restate: cfg.ingress()}
	standards := [...]func(int) Class{fromHandler: defaultClass, fromIngress: defaultClass, fromInvocation: defaultClass}
	if cfg.Kind == Lambda {
		standards[fromHandler] = lambdaClass
	}
	if v.restate {
		standards[fromIngress] = func(status int) Class {
			if status == http.StatusNotFound {
				return Retry // nothing is registered under this name now: it tells of a deployment, not of the record
			}
			return defaultClass(status)
		}
		standards[fromInvocation] = func(status int) Class {
			// Restate has tried as long as it is going to, whatever the status says; that a workflow has run is what was asked for.
			if status == http.StatusConflict && cfg.Type == "workflow" {
				return Done
			}
			return Failed
		}
	}
	for source, standard := range standards {
		v.tables[source] = newStatuses(standard, cfg.DoneStatuses, cfg.RetryStatuses, cfg.FailStatuses)
	}
	return v
}

func (v *verdicts) class(s source, status int) Class { return v.tables[s].class(status) }

// unregistered says whether the answer tells that the service or its handler is not there, which does not count as an attempt.
func (v *verdicts) unregistered(s source, status int) bool {
	return v.restate && s == fromIngress && status == http.StatusNotFound
}

// refusal says what a status of the ingress comes from. Its own words are not shown, since they may hold the key.
func refusal(status int) string {
	switch status {
	case http.StatusBadRequest:
		return ": HANDLER_TYPE, HANDLER_CONTENT_TYPE or the record does not fit the handler, or the service is private"
	case http.StatusNotFound:
		return ": the service or the handler is not registered"
	}
	return ""
}
