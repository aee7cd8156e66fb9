package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what the gauges show, read at each scrape.
type State struct {
	Concurrency                       int
	BusySeconds, WantedSeconds        float64 // of slots, since the start
	InFlight, Running, Ready, Waiting int
	InFlightBytes                     int64
	ParkedKeys, ParkedRecords         int
	ParkedBytes                       int64
	Unacked                           int64
	Joined                            bool
	FailureLimit                      bool // FAILURE_LIMIT holds failures back
	Partitions                        []Partition
}

// Partition is one assigned partition's part of the State.
type Partition struct {
	ID                  int32
	LagRecords          int64
	LagSeconds          float64
	OldestUnsettledSecs float64
	BacklogRecords      int64
	BlockedRecords      int64 // held back by an open transaction
	Committed           int64
	Ends                bool // END_AT is set
	EndRemaining        int64
}

type gauges struct {
	read func() State

	inFlight, inFlightBytes, running, ready, waiting *prometheus.Desc
	parkedKeys, parkedRecords, parkedBytes           *prometheus.Desc
	unacked, joined, assigned, failureLimit          *prometheus.Desc
	lagRecords, lagSeconds, oldest, blocked, backlog *prometheus.Desc
	concurrency, busy, wanted, endRemaining          *prometheus.Desc
}

// Watch shows the state that read returns at each scrape.
func (m *Metrics) Watch(read func() State) {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	m.Registry.MustRegister(&gauges{
		read:          read,
		inFlight:      d("in_flight", "Records taken in and not settled, those of parked lanes excepted."),
		inFlightBytes: d("in_flight_bytes", "Bytes of the records in flight."),
		running:       d("running_attempts", "Attempts running now."),
		ready:         d("ready_lanes", "Lanes whose next attempt waits for a slot."),
		waiting:       d("waiting_lanes", "Lanes that wait for the time of their next attempt."),
		parkedKeys:    d("parked_keys", "Lanes parked: tried without success and not settled yet."),
		parkedRecords: d("parked_records", "Records held in parked lanes."),
		parkedBytes:   d("parked_bytes", "Bytes of the records held in parked lanes."),
		unacked:       d("unacknowledged_settled_records", "Records settled since the last acknowledged commits."),
		joined:        d("joined", "1 while this replica is a member of the group."),
		failureLimit:  d("failure_limit_reached", "1 while FAILURE_LIMIT holds failures back: the handler fails record after record."),
		assigned:      d("assigned_partitions", "Partitions that this replica owns."),
		lagRecords:    d("lag_records", "Records between the first unsettled one and the high watermark.", "partition"),
		lagSeconds:    d("lag_seconds", "Age of the newest record taken in while more wait in the log, else 0. Before one was taken in: how long records are known to wait.", "partition"),
		backlog:       d("backlog_records", "Records that wait for a slot or run, in the log and here, without those of parked lanes and what cannot be read for them.", "partition"),
		oldest:        d("oldest_unsettled_age_seconds", "Age of the oldest unsettled record; alarm on it well before retention. While none is taken in: how long records are known to wait in the log.", "partition"),
		endRemaining:  d("end_remaining_records", "With END_AT: records between the first unsettled one and the end of the run.", "partition"),
		concurrency:   d("concurrency", "CONCURRENCY: the slots of this replica."),
		busy:          d("busy_slot_seconds_total", "Seconds for which slots were in use, over all slots: its rate divided by kafka_sidecar_concurrency is the saturation."),
		wanted:        d("wanted_slot_seconds_total", "Seconds for which slots were in use or waited for, by lanes that are not parked: its rate divided by kafka_sidecar_concurrency is the load, from 0 to 2. Scale on it."),
		blocked:       d("blocked_by_transaction_records", "Records that an open transaction holds back.", "partition"),
	})
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.inFlight, g.inFlightBytes, g.running, g.ready, g.waiting, g.parkedKeys, g.parkedRecords,
		g.parkedBytes, g.unacked, g.joined, g.failureLimit, g.assigned, g.lagRecords, g.lagSeconds,
		g.oldest, g.blocked, g.backlog, g.concurrency, g.busy, g.wanted, g.endRemaining} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	s := g.read()
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	flag := func(d *prometheus.Desc, on bool) {
		if on {
			send(d, 1)
		} else {
			send(d, 0)
		}
	}
	send(g.inFlight, float64(s.InFlight))
	send(g.inFlightBytes, float64(s.InFlightBytes))
	send(g.running, float64(s.Running))
	send(g.ready, float64(s.Ready))
	send(g.waiting, float64(s.Waiting))
	send(g.parkedKeys, float64(s.ParkedKeys))
	send(g.parkedRecords, float64(s.ParkedRecords))
	send(g.parkedBytes, float64(s.ParkedBytes))
	send(g.unacked, float64(s.Unacked))
	flag(g.joined, s.Joined)
	flag(g.failureLimit, s.FailureLimit)
	send(g.assigned, float64(len(s.Partitions)))
	send(g.concurrency, float64(s.Concurrency))
	ch <- prometheus.MustNewConstMetric(g.busy, prometheus.CounterValue, s.BusySeconds)
	ch <- prometheus.MustNewConstMetric(g.wanted, prometheus.CounterValue, s.WantedSeconds)
	for _, p := range s.Partitions {
		id := strconv.Itoa(int(p.ID))
		send(g.lagRecords, float64(p.LagRecords), id)
		send(g.lagSeconds, p.LagSeconds, id)
		send(g.oldest, p.OldestUnsettledSecs, id)
		send(g.blocked, float64(p.BlockedRecords), id)
		send(g.backlog, float64(p.BacklogRecords), id)
		if p.Ends {
			send(g.endRemaining, float64(p.EndRemaining), id)
		}
	}
}
