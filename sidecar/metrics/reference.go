package metrics

import (
	"fmt"
	"strings"
)

//go:generate go test . -run TestReferenceIsFresh -update

// alarms says what to alarm on, by metric; a metric that is not in it is for dashboards.
var alarms = map[string]string{
	"kafka_sidecar_blocked_by_transaction_records": "above 0 for longer than the producers' `transaction.timeout.ms`",
	"kafka_sidecar_commits_total":                  "errors that go on for minutes",
	"kafka_sidecar_dead_letter_errors_total":       "growing for minutes",
	"kafka_sidecar_joined":                         "0 for minutes",
	"kafka_sidecar_lag_records":                    "growing while nothing is settled",
	"kafka_sidecar_oldest_unsettled_age_seconds":   "near the topic's retention",
	"kafka_sidecar_parked_keys":                    "above 0 for longer than the handler's usual outages",
	"kafka_sidecar_records_lost_total":             "any growth",
}

// Reference is the table of every metric in Markdown, made from a registry of its own. docs/reference/metrics.md holds it.
func Reference() string {
	m := New("", []string{""})
	m.Attempt("", 0)
	m.Watch(func() State { return State{Partitions: []Partition{{Ends: true}}} })
	families, _ := m.Registry.Gather() // an error is of the process's own collector, whose metrics are not shown
	var b strings.Builder
	b.WriteString("| Metric | Type | Labels | Meaning | Alarm on |\n|---|---|---|---|---|\n")
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace+"_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp(), alarms[f.GetName()])
	}
	return b.String()
}
