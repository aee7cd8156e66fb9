package kafkaevent

// Answer is what a mapping with ReportBatchItemFailures takes back: where each partition is to be read again from. Without failures the
// whole batch is done. A mapping without that setting does not look at it.
type Answer struct {
	Failures []Failure `json:"batchItemFailures"`
}

// Failure names the first record of one partition that comes again, with all that follow.
type Failure struct {
	Item Item `json:"itemIdentifier"`
}

// Item is a place in a partition.
type Item struct {
	Partition string `json:"partition"` // <topic>-<partition>, as in the event
	Offset    int64  `json:"offset"`
}

// NewAnswer answers that nothing failed; Fail adds to it.
func NewAnswer() Answer { return Answer{Failures: []Failure{}} }

// Fail adds the place from which a partition comes again.
func (a *Answer) Fail(partition string, offset int64) {
	a.Failures = append(a.Failures, Failure{Item{partition, offset}})
}
