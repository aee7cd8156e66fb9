package bench

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

const timestamp = "1700000000000"

// runBare is the bare client process: as many workers as there may be requests at once, each of them sending the next
// request when its last one was answered. There is no queue between them and nothing to keep in order.
func runBare(t task) error {
	client := &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: t.Concurrency, MaxConnsPerHost: t.Concurrency, DisableCompression: true},
		Timeout:   30 * time.Second,
	}
	body, id := value(), "bench/"+t.Group+"/"+t.Topic+"/0/"
	var next atomic.Int64
	errs := make([]error, t.Concurrency)
	var workers sync.WaitGroup
	for w := range errs {
		workers.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= t.Requests {
					return
				}
				if errs[w] = send(client, t, n, id, body); errs[w] != nil {
					return
				}
			}
		})
	}
	workers.Wait()
	return errors.Join(errs...)
}

// send makes one request with what a request of the sidecar has in it, and as long. The header names are written into the
// map as they go over the wire, which is the cheapest way that net/http has.
func send(client *http.Client, t task, n int, id string, body []byte) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	number := strconv.Itoa(n)
	req.Header = http.Header{
		"User-Agent":               {"kafka-sidecar"},
		"content-type":             {"application/json"},
		"kafka.topic":              {t.Topic},
		"restate.subscription.id":  {t.Group},
		"kafka-sidecar-timeout-ms": {"20000"},
		"idempotency-key":          {id + number + "/" + timestamp},
		"kafka.partition":          {"0"},
		"kafka.offset":             {number},
		"kafka.timestamp":          {timestamp},
		"kafka.key":                {base64.URLEncoding.EncodeToString(key(n))},
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("send: %s", resp.Status)
	}
	return nil
}

// bare measures one run of the bare client.
func (h *handler) bare(topic string, requests, concurrency int) sample {
	b := h.b
	b.Helper()
	h.begin(requests)
	p, output := start(b, command(b, task{
		Role: "bare", URL: h.url(), Topic: topic, Group: harness.Name(b, "group"), Requests: requests, Concurrency: concurrency,
	}))
	cpu := ended(b, p, output)
	r, err := h.end(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return sample{events: requests, took: r.Last.Sub(r.First), answered: r.Answered, cpu: cpu}
}
