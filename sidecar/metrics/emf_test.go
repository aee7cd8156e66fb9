package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// document is one document as CloudWatch reads it.
type document struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []emfMetric
		}
	} `json:"_aws"`
	values map[string]any
}

// output takes lines and checks that each is written in one piece.
type output struct {
	t    *testing.T
	mu   sync.Mutex
	docs []document
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if bytes.IndexByte(b, '\n') != len(b)-1 {
		o.t.Errorf("a write is not one line: %q", b)
	}
	var d document
	if err := errors.Join(json.Unmarshal(b, &d), json.Unmarshal(b, &d.values)); err != nil {
		o.t.Errorf("%v: %s", err, b)
	}
	o.docs = append(o.docs, d)
	return len(b), nil
}

func (o *output) documents() []document {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.docs)
}

// emfNames is the golden list: alarms, dashboards and scaling policies are written against it.
const emfNames = `
Load Percent
Saturation Percent
BacklogRecords Count
LagRecords Count
LagSeconds Seconds
OldestUnsettledAge Seconds
InFlight Count
ParkedKeys Count
ParkedRecords Count
Joined Count
FailureLimitReached Count
AttemptDuration Milliseconds
Attempts Count
FailedAttempts Count
Done Count
Dropped Count
DeadLetters Count
Skipped Count
DeadLetterErrors Count
RecordsLost Count
CommitErrors Count
`

// counted makes one thing of each kind happen that is counted.
func counted(m *Metrics) {
	m.Attempt("200", 10*time.Millisecond)
	m.Attempt("503", 30*time.Millisecond)
	m.FailedAttempt()
	m.Settled("done")
	m.Settled("dead_letter")
	m.Settled("dead_letter")
	m.Lost(7)
	m.Commit(true)
	m.Commit(false)
	m.DeadLetterError()
}

func newEMF(m *Metrics, w io.Writer) *EMF {
	return NewEMF(w, "KafkaSidecar", "orders-to-billing", m, slog.New(slog.DiscardHandler))
}

func TestEMFDocumentIsWhatCloudWatchReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New("test", []string{"done", "dropped", "dead_letter", "skipped"})
		var busy atomic.Int64
		m.Watch(func() State {
			return State{
				Concurrency: 10, BusySeconds: float64(busy.Load()), WantedSeconds: float64(2 * busy.Load()), InFlight: 3, ParkedKeys: 1, ParkedRecords: 5, Joined: true,
				Partitions: []Partition{
					{ID: 0, LagRecords: 4, LagSeconds: 9, OldestUnsettledSecs: 2, BacklogRecords: 3},
					{ID: 1, LagRecords: 6, LagSeconds: 1, OldestUnsettledSecs: 8, BacklogRecords: 4},
				},
			}
		})
		out := &output{t: t}
		e := newEMF(m, out)
		ctx, stop := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() { e.Run(ctx) })
		defer wait.Wait()
		defer stop()
		counted(m)
		busy.Store(300) // of the 600 slot seconds of a minute
		<-time.After(time.Minute)
		synctest.Wait()
		docs := out.documents()
		if len(docs) != 1 {
			t.Fatalf("%d documents after one minute, want 1", len(docs))
		}
		d := docs[0]
		if want := time.Now().Truncate(time.Minute).UnixMilli(); d.AWS.Timestamp != want {
			t.Errorf("timestamp is %d, want the full minute, %d", d.AWS.Timestamp, want)
		}
		meta := d.AWS.CloudWatchMetrics[0]
		if meta.Namespace != "KafkaSidecar" || len(meta.Dimensions) != 1 || !slices.Equal(meta.Dimensions[0], []string{"Subscription"}) || d.values["Subscription"] != "orders-to-billing" {
			t.Errorf("namespace %q, dimensions %v, subscription %v", meta.Namespace, meta.Dimensions, d.values["Subscription"])
		}
		var names []string
		for _, l := range meta.Metrics {
			names = append(names, l.Name+" "+l.Unit)
		}
		if want := strings.Split(strings.TrimSpace(emfNames), "\n"); !slices.Equal(names, want) {
			t.Errorf("metrics changed:\ngot  %v\nwant %v", names, want)
		}
		if len(d.values) != len(names)+2 {
			t.Errorf("%d members beside those that are described", len(d.values)-len(names)-2)
		}
		for name, want := range map[string]float64{
			"Load": 100, "Saturation": 50, "BacklogRecords": 7, "LagRecords": 10, "LagSeconds": 9, "OldestUnsettledAge": 8, "InFlight": 3, "ParkedKeys": 1,
			"ParkedRecords": 5, "Joined": 1, "FailureLimitReached": 0, "AttemptDuration": 20, "Attempts": 2, "FailedAttempts": 1, "Done": 1, "Dropped": 0,
			"DeadLetters": 2, "Skipped": 0, "DeadLetterErrors": 1, "RecordsLost": 7, "CommitErrors": 1,
		} {
			if got := d.values[name]; got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

func TestEMFCountsEachThingOnceAndEachReplicaOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		<-time.After(17 * time.Second) // a process starts at any second
		m := New("test", []string{"done"})
		var busy atomic.Int64
		m.Watch(func() State { return State{Concurrency: 1, BusySeconds: float64(busy.Load()), InFlight: 1} })
		out := &output{t: t}
		e := newEMF(m, out)
		ctx, stop := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() { e.Run(ctx) })
		m.Settled("done")
		busy.Store(43)
		<-time.After(43 * time.Second)
		synctest.Wait()
		m.Settled("done")
		m.Settled("done")
		busy.Add(15)
		e.Flush()
		<-time.After(time.Minute)
		synctest.Wait()
		m.Settled("done")
		<-time.After(time.Second)
		stop()
		wait.Wait()

		type doc struct {
			done   any
			gauges bool
			busy   any
			second int64
		}
		var got []doc
		for _, d := range out.documents() {
			_, gauges := d.values["InFlight"]
			got = append(got, doc{d.values["Done"], gauges, d.values["Saturation"], d.AWS.Timestamp / 1000 % 60})
		}
		want := []doc{{1.0, true, 100.0, 0}, {2.0, false, nil, 0}, {0.0, true, 25.0, 0}, {1.0, false, nil, 1}}
		if !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}

func TestEMFOfAFunctionHoldsWhatItCounted(t *testing.T) {
	m := New("test", []string{"done"})
	out := &output{t: t}
	e := newEMF(m, out)
	m.Attempt("200", time.Second)
	m.Settled("done")
	e.Flush()
	e.Flush() // a frozen function that was not asked anything
	docs := out.documents()
	if docs[0].values["Done"] != 1.0 || docs[0].values["AttemptDuration"] != 1000.0 || docs[1].values["Done"] != 0.0 {
		t.Errorf("documents are %v", docs)
	}
	for _, name := range []string{"Load", "Saturation", "LagRecords", "InFlight", "Joined"} {
		if v, there := docs[0].values[name]; there {
			t.Errorf("%s is %v where there is nothing to measure", name, v)
		}
	}
	if v, there := docs[1].values["AttemptDuration"]; there {
		t.Errorf("the duration of no attempt is %v", v)
	}
}

type broken struct{ err error }

func (b *broken) Write(p []byte) (int, error) { return len(p), b.err }

func TestEMFSaysOnceThatItCannotBeWritten(t *testing.T) {
	var said bytes.Buffer
	w := &broken{errors.New("broken pipe")}
	e := NewEMF(w, "KafkaSidecar", "s", New("test", nil), slog.New(slog.NewTextHandler(&said, nil)))
	e.Flush()
	e.Flush()
	w.err = nil
	e.Flush()
	w.err = errors.New("broken pipe")
	e.Flush()
	if n := strings.Count(said.String(), "broken pipe"); n != 2 {
		t.Errorf("said %d times, want once for each time that it broke, 2:\n%s", n, said.String())
	}
}

func TestReferenceHasARowForEveryEMFMetric(t *testing.T) {
	table, known := EMFReference(), strings.Fields(names)
	for _, m := range emfMetrics {
		from, _, _ := strings.Cut(m.from, "/")
		if !slices.Contains(known, namespace+"_"+from) {
			t.Errorf("%s follows from %s, which is no metric", m.name, from)
		}
		if !strings.Contains(table, "\n| `"+m.name+"` | "+m.unit+" | ") {
			t.Errorf("%s has no row", m.name)
		}
	}
}
