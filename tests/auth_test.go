package tests

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/awsverify"
	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

var awsKeys = aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "aws-secret-that-is-hidden", SessionToken: "aws-token-that-is-hidden"}

func withAWS(env harness.Env) harness.Env {
	return env.With("AWS_ACCESS_KEY_ID", awsKeys.AccessKeyID, "AWS_SECRET_ACCESS_KEY", awsKeys.SecretAccessKey, "AWS_SESSION_TOKEN", awsKeys.SessionToken, "AWS_REGION", "eu-central-1")
}

// metadataServer plays Google's and gives one token.
func metadataServer(t *testing.T) (host, token string) {
	t.Helper()
	claims := fmt.Sprintf(`{"aud":"billing","exp":%d}`, time.Now().Add(time.Hour).Unix())
	token = "h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("audience") != "billing" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(token))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), token
}

func TestHandlerAndDeadLetterURLKnowWhoSent(t *testing.T) {
	host, token := metadataServer(t)
	header := func(want string) func(harness.Call, *http.Request) error {
		return func(c harness.Call, _ *http.Request) error {
			if got := c.Header["Authorization"]; len(got) != 1 || got[0] != want {
				return fmt.Errorf("authorization %q, want %q", got, want)
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		vars  []string // without HANDLER_ or DEAD_LETTER_
		check func(harness.Call, *http.Request) error
	}{
		"bearer": {[]string{"AUTH", "bearer", "BEARER_TOKEN", "token-that-is-hidden"}, header("Bearer token-that-is-hidden")},
		"basic": {[]string{"AUTH", "basic", "BASIC_USERNAME", "me", "BASIC_PASSWORD", "password-that-is-hidden"},
			header("Basic " + base64.StdEncoding.EncodeToString([]byte("me:password-that-is-hidden")))},
		"google-id-token": {[]string{"AUTH", "google-id-token", "GOOGLE_AUDIENCE", "billing"}, header("Bearer " + token)},
		"signature": {[]string{"AUTH", "signature", "SIGNATURE_SECRETS", webhookSecret}, func(c harness.Call, _ *http.Request) error {
			w, err := standardwebhooks.NewWebhook(webhookSecret)
			if err == nil {
				err = w.Verify(c.Body, c.Header)
			}
			if err == nil && c.Header.Get("Webhook-Id") != strings.ReplaceAll(c.IdempotencyKey, ".", "%2E") {
				err = fmt.Errorf("webhook-id %q for %q", c.Header.Get("Webhook-Id"), c.IdempotencyKey)
			}
			return err
		}},
		"sigv4": {[]string{"AUTH", "sigv4", "SIGV4_SERVICE", "execute-api"}, func(c harness.Call, r *http.Request) error {
			return awsverify.Request(r, c.Body, awsKeys, "eu-central-1", "execute-api")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := harness.Fake(t)
			topic := b.CreateTopic(1)
			wrong := make(chan error, 100)
			answer := func(status int) harness.Script {
				return func(call harness.Call) harness.Answer {
					return harness.Answer{Status: status, Raw: func(w http.ResponseWriter, r *http.Request) {
						if err := c.check(call, r); err != nil {
							wrong <- err
						}
						w.WriteHeader(status)
					}}
				}
			}
			h, dead := harness.NewHandler(t, answer(422)), harness.NewHandler(t, answer(204))
			env := withAWS(harness.TestEnv(b, topic, h)).With("GCE_METADATA_HOST", host, "DEAD_LETTER_URL", dead.URL("/dead?b=%2F&a=1"))
			for i := 0; i < len(c.vars); i += 2 {
				env = env.With("HANDLER_"+c.vars[i], c.vars[i+1], "DEAD_LETTER_"+c.vars[i], c.vars[i+1])
			}
			records := b.Produce(harness.Record(topic, "k", `{"a":1}`), &kgo.Record{Topic: topic, Key: []byte("tombstone")})
			s := harness.Start(t, env)
			b.WaitCommitted(env.Group(), topic)
			if len(h.Calls()) != len(records) || len(dead.Calls()) != len(records) {
				t.Errorf("%d calls, %d dead letters, want %d", len(h.Calls()), len(dead.Calls()), len(records))
			}
			close(wrong)
			for err := range wrong {
				t.Error(err)
			}
			out, stderr, code := harness.Run(t, env, "check")
			if code != 0 || !strings.Contains(out, "ok: authentication by "+name) {
				t.Errorf("check ends with %d:\n%s%s", code, out, stderr)
			}
			if all := out + stderr + strings.Join(s.Lines(), "\n"); strings.Contains(all, "hidden") || strings.Contains(all, webhookSecret) || strings.Contains(all, token) {
				t.Errorf("a secret is shown:\n%s", all)
			}
		})
	}
}

func TestRotatedTokenNeedsNoRestart(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var valid atomic.Value
	valid.Store("Bearer first")
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Header.Get("Authorization") != valid.Load() {
			return harness.Answer{Status: 401}
		}
		return harness.Answer{}
	})
	write("first")
	env := harness.TestEnv(b, topic, h).With("HANDLER_AUTH", "bearer", "HANDLER_BEARER_TOKEN_FILE", file)
	h.WaitSettled(func() []*kgo.Record {
		records := b.Produce(harness.Record(topic, "k", "1"))
		harness.Start(t, env)
		return records
	}())
	valid.Store("Bearer second")
	records := b.Produce(harness.Record(topic, "k", "2"))
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		return len(h.CallsOf(records[0])) > 0, "the record did not come"
	})
	write("second")
	h.WaitSettled(records)
}

func TestMissingCredentialsAreWaitedForAtStart(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	b.Produce(harness.Record(topic, "k", "v"))
	env := harness.TestEnv(b, topic, h).With("HANDLER_AUTH", "sigv4", "HANDLER_SIGV4_SERVICE", "lambda", "HANDLER_SIGV4_REGION", "eu-central-1",
		"AWS_EC2_METADATA_DISABLED", "true", "HOME", t.TempDir(), "STARTUP_TIMEOUT", "2s")
	s := harness.Start(t, env)
	s.Exit(1)
	s.WaitLog("authenticate to the handler", "none are set up", "start within STARTUP_TIMEOUT (2s)")
	if len(h.Calls()) > 0 {
		t.Error("a request was made without a signature")
	}
}

// event is what a function gets.
type event struct {
	EventSource, BootstrapServers string
	Records                       map[string][]struct {
		Offset     int64
		Key, Value *string
	}
}

func TestLambdaFunctionGetsEveryRecordSigned(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	wrong := make(chan error, 100)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		attempt := attemptOf(c)
		return harness.Answer{Status: 200, Raw: func(w http.ResponseWriter, r *http.Request) {
			if err := awsverify.Request(r, c.Body, awsKeys, "eu-central-1", "lambda"); err != nil {
				wrong <- err
				w.WriteHeader(http.StatusForbidden)
				return
			}
			if want := "/2015-03-31/functions/billing/invocations?Qualifier=live"; r.RequestURI != want {
				wrong <- fmt.Errorf("asked for %s, want %s", r.RequestURI, want)
			}
			switch e, err := eventOf(c); {
			case err != nil:
				wrong <- err
			case attempt == "1" && e.Records[topic+"-0"][0].Offset == 0:
				w.Header().Set("X-Amz-Function-Error", "Unhandled")
			case attempt == "1" && e.Records[topic+"-0"][0].Offset == 1:
				w.WriteHeader(http.StatusTooManyRequests)
				return
			case attempt == "1" && e.Records[topic+"-0"][0].Offset == 2:
				_, _ = w.Write([]byte(`{"batchItemFailures":[{"itemIdentifier":{"partition":"x","offset":2}}]}`))
				return
			}
			_, _ = w.Write([]byte(`{"ok":true}`))
		}}
	})
	records := b.Produce(harness.Record(topic, "k", "1"), harness.Record(topic, "k", "2"), &kgo.Record{Topic: topic, Key: []byte("k")}, &kgo.Record{Topic: topic, Value: []byte{}})
	env := withAWS(harness.TestEnv(b, topic, h)).With("SUBSCRIPTION_SINK", "lambda://billing:live", "AWS_ENDPOINT_URL_LAMBDA", h.URL(""))
	s := harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	close(wrong)
	for err := range wrong {
		t.Error(err)
	}
	calls := map[int64][]string{}
	for _, c := range h.Calls() {
		e, err := eventOf(c)
		if err != nil {
			t.Fatal(err)
		}
		one := e.Records[topic+"-0"][0]
		calls[one.Offset] = append(calls[one.Offset], attemptOf(c))
		if (one.Key == nil) != (records[one.Offset].Key == nil) || (one.Value == nil) != (records[one.Offset].Value == nil) {
			t.Errorf("offset %d: null and empty are mixed up: %s", one.Offset, c.Body)
		}
		if e.EventSource != "SelfManagedKafka" || e.BootstrapServers != b.Addr {
			t.Errorf("event of %s at %s", e.EventSource, e.BootstrapServers)
		}
	}
	if want := "map[0:[1 2] 1:[1 2] 2:[1 2] 3:[1]]"; fmt.Sprint(calls) != want {
		t.Errorf("attempts %v, want %s", calls, want)
	}
	out, stderr, code := harness.Run(t, env, "check")
	if code != 0 || !strings.Contains(out, "SUBSCRIPTION_SINK=lambda://billing:live") || !strings.Contains(out, "ok: authentication by sigv4") {
		t.Errorf("check ends with %d:\n%s%s", code, out, stderr)
	}
	if all := out + strings.Join(s.Lines(), "\n"); strings.Contains(all, "hidden") {
		t.Errorf("a secret is shown:\n%s", all)
	}
}

func eventOf(c harness.Call) (event, error) {
	var e event
	err := json.Unmarshal(c.Body, &e)
	if err == nil && len(e.Records) != 1 {
		err = fmt.Errorf("an event of %d partitions: %s", len(e.Records), c.Body)
	}
	return e, err
}

// attemptOf reads the client context.
func attemptOf(c harness.Call) string {
	text, _ := base64.StdEncoding.DecodeString(c.Header.Get("X-Amz-Client-Context"))
	var said struct{ Custom map[string]string }
	_ = json.Unmarshal(text, &said)
	return said.Custom["kafka-sidecar-attempt"]
}

func TestLambdaRefusalsFail(t *testing.T) {
	b := harness.Fake(t)
	topic, dead := b.CreateTopic(1), b.CreateTopic(1)
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: 413} })
	b.Produce(harness.Record(topic, "k", "too large"))
	env := withAWS(harness.TestEnv(b, topic, h)).With("SUBSCRIPTION_SINK", "lambda://billing", "AWS_ENDPOINT_URL", h.URL(""), "DEAD_LETTER_TOPIC", dead)
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	if letters := b.ReadAll(dead); len(letters) != 1 || header(letters[0], "kafka-sidecar.status") != "413" || len(h.Calls()) != 1 {
		t.Errorf("%d dead letters after %d calls, want one of each", len(letters), len(h.Calls()))
	}
}
