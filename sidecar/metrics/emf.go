package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// EMF writes the metrics in CloudWatch's embedded metric format: JSON documents, one a line, that CloudWatch Logs turns into metrics by itself.
//
// The only dimension is the subscription; a task or a partition would make a metric of its own each, and be billed as one. So replicas report under
// one name, and the form of a document makes their sum and average mean something: a replica writes one document with its gauges at each full minute,
// so that every minute holds each replica once.
//
// See the "Embedded metric format specification" in the CloudWatch documentation.
type EMF struct {
	namespace, subscription string
	metrics                 *Metrics
	log                     *slog.Logger

	mu     sync.Mutex
	out    io.Writer
	last   readings  // as of the last document
	minute readings  // as of the last one with gauges
	at     time.Time // when that was made
	broken bool      // the last write failed, and it was said
}

// NewEMF writes to out, a whole line at a time. The namespace and the subscription must be what CloudWatch takes as such.
func NewEMF(out io.Writer, namespace, subscription string, m *Metrics, log *slog.Logger) *EMF {
	now := m.readings()
	return &EMF{namespace: namespace, subscription: subscription, metrics: m, log: log, out: out, last: now, minute: now, at: time.Now()}
}

// emfInterval is the time between documents: CloudWatch's standard resolution.
const emfInterval = time.Minute

// Run writes a document at every full minute until ctx is done, and then one with what was counted since.
func (e *EMF) Run(ctx context.Context) {
	next := time.Now().Truncate(emfInterval).Add(emfInterval)
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			e.Flush()
			return
		case <-timer.C:
		}
		// next has no monotonic time, so this is by the wall clock, which may have been set back meanwhile, by little or by hours.
		now := time.Now()
		if left := next.Sub(now); left <= 0 {
			e.write(true)
		} else if left <= emfInterval {
			timer.Reset(left)
			continue
		}
		next = now.Truncate(emfInterval).Add(emfInterval)
		timer.Reset(time.Until(next))
	}
}

// Flush writes what was counted since the last document, without the gauges: a second document in a minute would count those twice. It is for the end
// of a process, and for the end of each invocation where the process is a function that may be frozen at any time after. It may be called from
// several goroutines at once.
func (e *EMF) Flush() { e.write(false) }

// kind is how a metric of a document follows from those of Prometheus.
type kind uint8

const (
	sum     kind = iota // gauge, over all partitions
	highest             // gauge, the highest of all partitions
	growth              // counter, since the last document
	average             // histogram, the mean since the last document, in thousandths
	share               // counter of slot seconds, per cent of what the slots had since the last document
)

// gauge says that the metric is of the replica at one moment or over one interval, so that one document a minute may hold it.
func (k kind) gauge() bool { return k == sum || k == highest || k == share }

// emfMetrics is what a document holds. The names are an interface, as those of Prometheus are.
var emfMetrics = []struct {
	name, unit string
	kind       kind
	from       string // without the prefix; with a label's value behind a slash
}{
	{"Load", "Percent", share, "wanted_slot_seconds_total"},
	{"Saturation", "Percent", share, "busy_slot_seconds_total"},
	{"BacklogRecords", "Count", sum, "backlog_records"},
	{"LagRecords", "Count", sum, "lag_records"},
	{"LagSeconds", "Seconds", highest, "lag_seconds"},
	{"OldestUnsettledAge", "Seconds", highest, "oldest_unsettled_age_seconds"},
	{"InFlight", "Count", sum, "in_flight"},
	{"ParkedKeys", "Count", sum, "parked_keys"},
	{"ParkedRecords", "Count", sum, "parked_records"},
	{"Joined", "Count", sum, "joined"},
	{"FailureLimitReached", "Count", sum, "failure_limit_reached"},
	{"AttemptDuration", "Milliseconds", average, "attempt_duration_seconds"},
	{"Attempts", "Count", growth, "attempts_total"},
	{"FailedAttempts", "Count", growth, "failed_attempts_total"},
	{"Done", "Count", growth, "settled_total/done"},
	{"Dropped", "Count", growth, "settled_total/dropped"},
	{"DeadLetters", "Count", growth, "settled_total/dead_letter"},
	{"Skipped", "Count", growth, "settled_total/skipped"},
	{"DeadLetterErrors", "Count", growth, "dead_letter_errors_total"},
	{"RecordsLost", "Count", growth, "records_lost_total"},
	{"CommitErrors", "Count", growth, "commits_total/error"},
}

// reading is one metric of Prometheus, or the part of it with one label value.
type reading struct {
	sum, highest float64
	count        float64 // of a histogram
}

type readings map[string]reading

// readings takes all metrics at one moment, gauges and counters together, as a scrape does.
func (m *Metrics) readings() readings {
	families, _ := m.Registry.Gather() // an error is of the process's own collector, whose metrics are not asked for
	out := readings{}
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), namespace+"_")
		if !ours {
			continue
		}
		for _, s := range f.GetMetric() {
			value := s.GetGauge().GetValue() + s.GetCounter().GetValue() + s.GetHistogram().GetSampleSum()
			keys := []string{name}
			for _, l := range s.GetLabel() {
				keys = append(keys, name+"/"+l.GetValue())
			}
			for _, k := range keys {
				r := out[k]
				r.sum, r.highest, r.count = r.sum+value, max(r.highest, value), r.count+float64(s.GetHistogram().GetSampleCount())
				out[k] = r
			}
		}
	}
	return out
}

type emfMetric struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

// write makes one document and writes it.
func (e *EMF) write(gauges bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, was, is := time.Now(), e.last, e.metrics.readings()
	slotSeconds := now.Sub(e.at).Seconds() * is["concurrency"].sum
	document := map[string]any{"Subscription": e.subscription}
	var list []emfMetric
	for _, m := range emfMetrics {
		r, known := is[m.from]
		if m.kind.gauge() && !gauges {
			continue
		}
		value := r.sum
		switch m.kind {
		case highest:
			value = r.highest
		case growth:
			value -= was[m.from].sum
		case average:
			attempts := r.count - was[m.from].count
			known = attempts > 0
			value = 1000 * (value - was[m.from].sum) / attempts
		case share:
			known = slotSeconds > 0
			value = 100 * (value - e.minute[m.from].sum) / slotSeconds
		}
		if !known && m.kind != growth {
			continue // nothing to measure: no value, not the value 0
		}
		document[m.name] = value
		list = append(list, emfMetric{m.name, m.unit})
	}
	e.last = is
	if gauges {
		e.minute, e.at = is, now
	}
	document["_aws"] = map[string]any{
		"Timestamp":         now.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{"Namespace": e.namespace, "Dimensions": [][]string{{"Subscription"}}, "Metrics": list}},
	}
	line, err := json.Marshal(document)
	if err == nil {
		_, err = e.out.Write(append(line, '\n'))
	}
	if err != nil && !e.broken {
		e.log.Warn("metrics could not be written to standard output", slog.Any("err", err))
	}
	e.broken = err != nil
}

// EMFReference is the table of a document's metrics in Markdown.
func EMFReference() string {
	var b strings.Builder
	b.WriteString("| Metric | Unit | From | Across replicas |\n|---|---|---|---|\n")
	for _, m := range emfMetrics {
		name, value, part := strings.Cut(m.from, "/")
		from := "`" + namespace + "_" + name + "`"
		if part {
			from += " with `" + value + "`"
		}
		how, across := "", "Sum"
		switch m.kind {
		case highest:
			how, across = ", highest of all partitions", "Maximum"
		case growth:
			how = ", growth"
		case average:
			how, across = ", mean of the interval", "Average"
		case share:
			how, across = ", as a share of `CONCURRENCY`", "Average"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s%s | %s |\n", m.name, m.unit, from, how, across)
	}
	return b.String()
}
