package harness

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Keyed makes n records whose keys go round key-0 to key-<keys-1> and whose values are JSON numbers counting up from 0.
// They have no partition yet: Produce picks it by the key, as producers do.
func Keyed(topic string, n, keys int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Key: []byte("key-" + strconv.Itoa(i%keys)), Value: []byte(strconv.Itoa(i))}
	}
	return records
}

// Record makes one record.
func Record(topic, key, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
}

// Produce writes records, the partition by the hash of the key, and returns them with partition, offset and timestamp.
func (b *Broker) Produce(records ...*kgo.Record) []*kgo.Record {
	b.t.Helper()
	b.produce(b.client, records)
	return records
}

// ProduceAt writes records to the partitions that they name.
func (b *Broker) ProduceAt(records ...*kgo.Record) []*kgo.Record {
	b.t.Helper()
	return b.ProduceWith(nil, records...)
}

// ProduceWith is ProduceAt with further options, for example a codec or a batch size.
func (b *Broker) ProduceWith(opts []kgo.Opt, records ...*kgo.Record) []*kgo.Record {
	b.t.Helper()
	cl := b.Client(append([]kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	b.produce(cl, records)
	return records
}

func (b *Broker) produce(cl *kgo.Client, records []*kgo.Record) {
	b.t.Helper()
	ctx, cancel := b.request()
	defer cancel()
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		b.t.Fatalf("produce %d records: %v", len(records), err)
	}
}

// Transaction writes records in a transaction of its own and then commits or aborts it.
func (b *Broker) Transaction(commit bool, records ...*kgo.Record) []*kgo.Record {
	b.t.Helper()
	b.OpenTransaction(records...)(commit)
	return records
}

// OpenTransaction writes records and leaves the transaction open until the returned function ends it, which waits until its markers are in the log: a
// broker acknowledges the end before, and what others write meanwhile would come between.
func (b *Broker) OpenTransaction(records ...*kgo.Record) (end func(commit bool)) {
	b.t.Helper()
	id := Name(b.t, "txn")
	cl := b.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(id))
	if err := cl.BeginTransaction(); err != nil {
		b.t.Fatalf("begin a transaction: %v", err)
	}
	b.produce(cl, records)
	return func(commit bool) {
		b.t.Helper()
		ctx, cancel := b.request()
		defer cancel()
		if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
			b.t.Fatalf("end a transaction: %v", err)
		}
		Eventually(b.t, Patience, func() (bool, string) {
			described, err := b.admin.DescribeTransactions(ctx, id)
			state := described[id].State
			return err == nil && (strings.HasPrefix(state, "Complete") || state == "Empty"), fmt.Sprintf("the transaction is %s (%v)", state, err)
		})
	}
}

// Read returns the first n records of a topic, in the order of each partition, control records left out. It waits for them.
func (b *Broker) Read(topic string, n int) []*kgo.Record {
	b.t.Helper()
	cl := b.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx, cancel := b.request()
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		fetches := cl.PollFetches(ctx)
		out = append(out, fetches.Records()...)
		if ctx.Err() != nil {
			b.t.Fatalf("read %d of %d records of %s", len(out), n, topic)
		}
	}
	return out
}

// ReadAll returns every record that is in a topic now.
func (b *Broker) ReadAll(topic string) []*kgo.Record {
	b.t.Helper()
	cl := b.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(50*time.Millisecond), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	ends := b.EndOffsets(topic)
	var out []*kgo.Record
	position := map[int32]int64{}
	behind := func() bool {
		for id, end := range ends {
			if position[id] < end {
				return true
			}
		}
		return false
	}
	ctx, cancel := b.request()
	defer cancel()
	for behind() {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			b.t.Fatalf("read %s: at %v of %v", topic, position, ends)
		}
		for _, r := range fetches.Records() {
			position[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		}
	}
	return out
}

// ID names a record in failures.
func ID(r *kgo.Record) string { return fmt.Sprintf("%d@%d", r.Partition, r.Offset) }
