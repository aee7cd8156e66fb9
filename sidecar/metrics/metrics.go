// Package metrics counts what the sidecar does and shows it to Prometheus.
//
// Counters and histograms are kept here and moved by the engine; gauges are read from the engine's state at each scrape, so that they
// cannot drift from it. No label holds a key, an offset or a URL. The names are an interface: a golden test keeps them.
package metrics

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const namespace = "kafka_sidecar"

// Metrics are one subscription's metrics in a registry of their own.
type Metrics struct {
	Registry *prometheus.Registry

	attempts         *prometheus.CounterVec
	attemptSeconds   prometheus.Histogram
	failedAttempts   prometheus.Counter
	settled          *prometheus.CounterVec
	resumed          prometheus.Counter
	lost             prometheus.Counter
	commits          *prometheus.CounterVec
	rebalances       prometheus.Counter
	deadLetterErrors prometheus.Counter
	skippedHeaders   prometheus.Counter
	droppedSpans     prometheus.Counter
}

// New makes the metrics. outcomes are the values that settled records are counted under, so that each counter starts at 0.
func New(version string, outcomes []string) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{label})
	}
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		attempts: vec("attempts_total", "Attempts by HTTP status, or by what went wrong before one was received.", "code"),
		attemptSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "attempt_duration_seconds", Help: "How long attempts took, whatever their outcome.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		failedAttempts:   counter("failed_attempts_total", "Attempts that the handler did not settle: to be tried again, or failed. Those that a drain cut short are not among them."),
		settled:          vec("settled_total", "Records settled, by outcome.", "outcome"),
		resumed:          counter("resumed_total", "Records not delivered again after a restart or rebalance because the commit's map shows them settled."),
		lost:             counter("records_lost_total", "Records that retention deleted, or an unclean leader election took, before they were settled."),
		commits:          vec("commits_total", "Commits of one partition, by result.", "result"),
		rebalances:       counter("rebalances_total", "Rebalances of the group that this replica took part in."),
		deadLetterErrors: counter("dead_letter_errors_total", "Dead-letter writes that failed and are tried again."),
		skippedHeaders:   counter("skipped_headers_total", "Record headers not forwarded because their name is no HTTP token."),
		droppedSpans:     counter("spans_dropped_total", "Spans not exported: the collector failed or took too long, or the queue was full."),
	}
	for _, o := range outcomes {
		m.settled.WithLabelValues(o)
	}
	m.commits.WithLabelValues("ok")
	m.commits.WithLabelValues("error")
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "1, labelled with the version that runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	info.Set(1)
	m.Registry.MustRegister(m.attempts, m.attemptSeconds, m.failedAttempts, m.settled, m.resumed, m.lost, m.commits, m.rebalances, m.deadLetterErrors,
		m.skippedHeaders, m.droppedSpans, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Attempt counts one attempt.
func (m *Metrics) Attempt(code string, took time.Duration) {
	m.attempts.WithLabelValues(code).Inc()
	m.attemptSeconds.Observe(took.Seconds())
}

// FailedAttempt counts one attempt, also counted by Attempt, that did not settle its record.
func (m *Metrics) FailedAttempt() { m.failedAttempts.Inc() }

// Settled counts one settled record.
func (m *Metrics) Settled(outcome string) { m.settled.WithLabelValues(outcome).Inc() }

// Resumed counts one record that a former commit shows as settled.
func (m *Metrics) Resumed() { m.resumed.Inc() }

// Lost counts records that the log has no more and that were not settled.
func (m *Metrics) Lost(n int64) { m.lost.Add(float64(n)) }

// Commit counts the commit of one partition.
func (m *Metrics) Commit(ok bool) {
	if ok {
		m.commits.WithLabelValues("ok").Inc()
		return
	}
	m.commits.WithLabelValues("error").Inc()
}

// Rebalance counts one rebalance.
func (m *Metrics) Rebalance() { m.rebalances.Inc() }

// DeadLetterError counts one failed dead-letter write.
func (m *Metrics) DeadLetterError() { m.deadLetterErrors.Inc() }

// SkippedHeader counts one record header that could not be forwarded.
func (m *Metrics) SkippedHeader() { m.skippedHeaders.Inc() }

// DroppedSpans counts spans that are not exported.
func (m *Metrics) DroppedSpans(n int) { m.droppedSpans.Add(float64(n)) }
