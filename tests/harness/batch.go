package harness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ZstdBatch is one record batch (https://kafka.apache.org/documentation/#recordbatch) as a producer sends it. A client's own limits are on what goes
// into a batch; this one is as large, unpacked, as the caller likes.
func ZstdBatch(records ...*kgo.Record) ([]byte, error) {
	var plain []byte
	for i, r := range records {
		body := []byte{0, 0} // attributes, timestamp as the batch's
		body = binary.AppendVarint(body, int64(i))
		for _, field := range [][]byte{r.Key, r.Value} {
			body = append(binary.AppendVarint(body, int64(len(field))), field...)
		}
		body = append(body, 0) // no headers
		plain = append(binary.AppendVarint(plain, int64(len(body))), body...)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("make a zstd encoder: %w", err)
	}
	packed := encoder.EncodeAll(plain, nil)
	const headerLen, lengthFrom, crcFrom = 61, 12, 21
	now := time.Now().UnixMilli()
	be := binary.BigEndian
	b := be.AppendUint64(nil, 0)
	b = be.AppendUint32(b, uint32(headerLen-lengthFrom+len(packed)))
	b = be.AppendUint32(b, ^uint32(0)) // leader epoch: the broker's
	b = append(b, 2)
	b = be.AppendUint32(b, 0) // the checksum, below
	b = be.AppendUint16(b, 4) // zstd
	b = be.AppendUint32(b, uint32(len(records)-1))
	b = be.AppendUint64(b, uint64(now))
	b = be.AppendUint64(b, uint64(now))
	b = be.AppendUint64(b, ^uint64(0)) // no producer id, epoch, sequence
	b = be.AppendUint16(b, ^uint16(0))
	b = be.AppendUint32(b, ^uint32(0))
	b = be.AppendUint32(b, uint32(len(records)))
	b = append(b, packed...)
	be.PutUint32(b[crcFrom-4:], crc32.Checksum(b[crcFrom:], crc32.MakeTable(crc32.Castagnoli)))
	return b, nil
}

// ProduceBatch appends one encoded batch to a partition and returns the offset of its first record.
func (b *Broker) ProduceBatch(topic string, partition int32, batch []byte) int64 {
	b.t.Helper()
	ctx, cancel := b.request()
	defer cancel()
	topics, err := b.admin.ListTopics(ctx, topic)
	if err = errors.Join(err, topics[topic].Err); err != nil {
		b.t.Fatalf("look up %s: %v", topic, err)
	}
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	of := kmsg.NewProduceRequestTopic()
	of.Topic, of.TopicID, of.Partitions = topic, topics[topic].ID, []kmsg.ProduceRequestTopicPartition{p}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis, req.Topics = -1, 30_000, []kmsg.ProduceRequestTopic{of}
	answer, err := b.client.Broker(int(topics[topic].Partitions[partition].Leader)).Request(ctx, req)
	if err != nil {
		b.t.Fatalf("produce a batch of %d bytes: %v", len(batch), err)
	}
	got := answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		b.t.Fatalf("produce a batch of %d bytes to %s/%d: %v", len(batch), topic, partition, err)
	}
	return got.BaseOffset
}
