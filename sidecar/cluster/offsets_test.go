package cluster

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// produceAt writes one record per timestamp (ms) into a partition.
func produceAt(t *testing.T, k *kfake.Cluster, topic string, partition int32, timestamps ...int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, ms := range timestamps {
		r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte("v"), Timestamp: time.UnixMilli(ms)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOffsetsAreListedWithOneRequestPerLeader(t *testing.T) {
	for name, versions := range map[string]*kversion.Versions{"new": kversion.Stable(), "2.3": kversion.V2_3_0()} {
		t.Run(name, func(t *testing.T) {
			k := startKafka(t, kfake.NumBrokers(3), kfake.SeedTopics(9, "orders"), kfake.MaxVersions(versions))
			produceAt(t, k, "orders", 0, 1000, 2000, 3000)
			produceAt(t, k, "orders", 5, 1000)
			if err := k.DeleteRecords("orders", 0, 1); err != nil {
				t.Fatal(err)
			}
			c := newCluster(t, Config{Brokers: k.ListenAddrs()})
			topic, err := c.Topic(t.Context(), "orders")
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			requests := map[int32]int{}
			k.ControlKey(int16(protocol.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
				k.KeepControl()
				mu.Lock()
				defer mu.Unlock()
				requests[k.CurrentNode()]++
				return nil, nil, false
			})
			list := func(all map[int32]int64) map[int32]ListedOffset {
				t.Helper()
				got, err := c.ListOffsets(t.Context(), topic, all, true)
				if err != nil {
					t.Fatal(err)
				}
				eq(t, len(got), len(all))
				for p, o := range got {
					if o.Err != nil {
						t.Errorf("partition %d: %v", p, o.Err)
					}
				}
				return got
			}
			all := map[int32]int64{}
			leaders := map[int32]bool{}
			for _, p := range topic.Partitions {
				all[p.ID] = Latest
				leaders[p.LeaderID] = true
			}
			got := list(all)
			eq(t, got[0].Offset, 3)
			eq(t, got[5].Offset, 1)
			eq(t, got[8].Offset, 0)
			mu.Lock()
			eq(t, len(requests), len(leaders))
			for node, n := range requests {
				if n != 1 {
					t.Errorf("node %d was asked %d times", node, n)
				}
			}
			mu.Unlock()

			got = list(map[int32]int64{0: Earliest, 5: Earliest})
			eq(t, got[0].Offset, 1)
			eq(t, got[5].Offset, 0)
			got = list(map[int32]int64{0: 2500, 5: 2500})
			eq(t, got[0].Offset, 2)
			eq(t, got[0].Timestamp, 3000)
			eq(t, got[0].LeaderEpoch >= 0, true)
			eq(t, got[5].Offset, -1) // nothing that late
		})
	}
}

func TestLatestUnderReadCommittedIsTheLastStableOffset(t *testing.T) {
	k := startKafka(t, kfake.SeedTopics(1, "orders"))
	produceAt(t, k, "orders", 0, 1000, 2000)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), kgo.StringRecord("open")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, Config{Brokers: k.ListenAddrs()})
	topic, err := c.Topic(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	for committed, want := range map[bool]int64{true: 2, false: 3} {
		got, err := c.ListOffsets(t.Context(), topic, map[int32]int64{0: Latest}, committed)
		if err != nil || got[0].Err != nil || got[0].Offset != want {
			t.Errorf("committed %v: got %+v, %v", committed, got[0], err)
		}
	}
	if err := client.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
}

func TestTroublesOfOneLeaderStayWithItsPartitions(t *testing.T) {
	k := startKafka(t, kfake.SeedTopics(2, "orders"))
	c := newCluster(t, Config{Brokers: k.ListenAddrs()})
	topic, err := c.Topic(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	topic.Partitions[1].Leader = l.Addr().String()
	l.Close() // the leader is gone
	topic.Partitions = append(topic.Partitions, Partition{ID: 2, LeaderID: -1, Err: kafka.ReplicaNotAvailable}, Partition{ID: 3, LeaderID: -1})
	got, err := c.ListOffsets(t.Context(), topic, map[int32]int64{0: Latest, 1: Latest, 2: Latest, 3: Latest, 7: Latest}, false)
	if err != nil {
		t.Fatal(err)
	}
	eq(t, got[0], ListedOffset{Offset: 0, LeaderEpoch: got[0].LeaderEpoch, Timestamp: -1})
	if err := got[1].Err; err == nil || !Retriable(err) || got[1].Offset != -1 {
		t.Errorf("dead leader: %+v", got[1])
	}
	eq(t, got[2].Err, error(kafka.ReplicaNotAvailable))
	eq(t, got[3].Err, error(kafka.LeaderNotAvailable))
	eq(t, got[7].Err, error(kafka.UnknownTopicOrPartition))
}

func TestStaleLeaderIsSaidPerPartition(t *testing.T) {
	k := startKafka(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "orders"))
	c := newCluster(t, Config{Brokers: k.ListenAddrs()})
	topic, err := c.Topic(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.MoveTopicPartition("orders", 0, 1-topic.Partitions[0].LeaderID); err != nil {
		t.Fatal(err)
	}
	got, err := c.ListOffsets(t.Context(), topic, map[int32]int64{0: Latest}, false)
	if err != nil || !Retriable(got[0].Err) {
		t.Errorf("got %+v, %v", got[0], err)
	}
	var code kafka.Error
	eq(t, errors.As(got[0].Err, &code), true)
}

func TestListingEndsWithItsContext(t *testing.T) {
	k := startKafka(t, kfake.SeedTopics(1, "orders"))
	c := newCluster(t, Config{Brokers: k.ListenAddrs()})
	topic, err := c.Topic(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	_, err = c.ListOffsets(ctx, topic, map[int32]int64{0: Latest}, false)
	eq(t, err, stopped)
}
