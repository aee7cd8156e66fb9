package admin

import "time"

// Subscription is the answer of GET /subscription: the shape of Restate's GET /subscriptions/{id}, and a status. Options are redacted.
type Subscription struct {
	ID      string            `json:"id"`
	Source  string            `json:"source"`
	Sink    string            `json:"sink"`
	Options map[string]string `json:"options"`
	Status  Status            `json:"status"`
}

// Status is where the subscription stands on this replica.
type Status struct {
	Group         string      `json:"group"`
	Joined        bool        `json:"joined"`
	Paused        bool        `json:"paused"`
	Draining      bool        `json:"draining"`
	InFlight      int         `json:"in_flight"`
	InFlightBytes int64       `json:"in_flight_bytes"`
	Running       int         `json:"running_attempts"`
	ParkedKeys    int         `json:"parked_keys"`
	ParkedRecords int         `json:"parked_records"`
	FailureLimit  bool        `json:"failure_limit_reached"`
	WaitingFor    string      `json:"waiting_for,omitempty"` // what start-up waits for
	Assigned      []int32     `json:"assigned_partitions"`
	Partitions    []Partition `json:"partitions"`
}

// Partition is one assigned partition. Offsets are -1 while they are not known.
type Partition struct {
	Partition              int32    `json:"partition"`
	Committed              int64    `json:"committed"`               // first unsettled offset of the last acknowledged commit
	Settled                int64    `json:"settled"`                 // every offset below is settled
	Position               int64    `json:"position"`                // next offset to be taken in
	End                    int64    `json:"end"`                     // high watermark
	EndAt                  *int64   `json:"end_at,omitempty"`        // with END_AT: nothing at or past it is delivered
	EndRemaining           *int64   `json:"end_remaining,omitempty"` // offsets from settled to end_at
	LagRecords             int64    `json:"lag_records"`
	LagSeconds             float64  `json:"lag_seconds"`
	OldestUnsettledSeconds float64  `json:"oldest_unsettled_age_seconds"`
	BlockedByTransaction   int64    `json:"blocked_by_transaction_records"`
	InFlight               int      `json:"in_flight"`
	ParkedKeys             int      `json:"parked_keys"`
	Lost                   int64    `json:"records_lost"`
	Parked                 []Parked `json:"parked"` // the oldest parked lanes, at most 100
	LastError              string   `json:"last_error,omitempty"`
}

// Parked is one parked lane.
type Parked struct {
	KeyHash     string     `json:"key_hash"` // a hash of the key, the same on every replica
	Offset      int64      `json:"offset"`
	Records     int        `json:"records"`
	LastStatus  int        `json:"last_status"` // 0: no response
	LastError   string     `json:"last_error,omitempty"`
	Attempts    int        `json:"attempts"`
	NextAttempt *time.Time `json:"next_attempt"` // null while an attempt runs
}
