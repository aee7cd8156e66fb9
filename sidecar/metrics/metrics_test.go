package metrics

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// names is the golden list: dashboards and alarms are written against it.
const names = `
kafka_sidecar_assigned_partitions
kafka_sidecar_attempt_duration_seconds
kafka_sidecar_attempts_total
kafka_sidecar_backlog_records
kafka_sidecar_blocked_by_transaction_records
kafka_sidecar_build_info
kafka_sidecar_busy_slot_seconds_total
kafka_sidecar_commits_total
kafka_sidecar_concurrency
kafka_sidecar_dead_letter_errors_total
kafka_sidecar_end_remaining_records
kafka_sidecar_failed_attempts_total
kafka_sidecar_failure_limit_reached
kafka_sidecar_in_flight
kafka_sidecar_in_flight_bytes
kafka_sidecar_joined
kafka_sidecar_lag_records
kafka_sidecar_lag_seconds
kafka_sidecar_oldest_unsettled_age_seconds
kafka_sidecar_parked_bytes
kafka_sidecar_parked_keys
kafka_sidecar_parked_records
kafka_sidecar_ready_lanes
kafka_sidecar_rebalances_total
kafka_sidecar_records_lost_total
kafka_sidecar_resumed_total
kafka_sidecar_running_attempts
kafka_sidecar_settled_total
kafka_sidecar_skipped_headers_total
kafka_sidecar_spans_dropped_total
kafka_sidecar_unacknowledged_settled_records
kafka_sidecar_waiting_lanes
kafka_sidecar_wanted_slot_seconds_total
`

func TestMetricNamesAreAnInterface(t *testing.T) {
	m := New("test", []string{"done"})
	m.Attempt("200", 0)
	m.Watch(func() State { return State{Partitions: []Partition{{ID: 0, Ends: true}}} })
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "kafka_sidecar_") {
			got = append(got, f.GetName())
		}
	}
	if want := strings.Fields(names); !slices.Equal(got, want) {
		t.Errorf("metric names changed:\ngot  %v\nwant %v", got, want)
	}
	problems, err := testutil.GatherAndLint(m.Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestCountersStartAtZero(t *testing.T) {
	m := New("test", []string{"done", "dropped"})
	for _, name := range []string{"kafka_sidecar_settled_total", "kafka_sidecar_commits_total"} {
		if n, err := testutil.GatherAndCount(m.Registry, name); err != nil || n != 2 {
			t.Errorf("%s has %d series before anything happened, want 2 (%v)", name, n, err)
		}
	}
}
