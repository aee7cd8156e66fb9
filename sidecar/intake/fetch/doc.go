// Package fetch reads one partition's log: Do sends a Fetch request for one partition and a Decoder walks over the record set of its answer.
//
// It replaces kafka-go's readers, which panic or loop on compacted topics and deliver transaction markers and aborted records (upstream
// issues 1416, 1393, 1332, 913). Three properties matter to the stages behind it:
//
// Nothing is skipped and nothing is stuck. Position is the next offset to fetch. It passes a record only when Next has handed it out, and it does
// pass what holds no record for us: transaction markers, aborted data, compacted gaps, empty batches and the gap at a batch's tail.
//
// Memory is asked for before it is used. The owner has reserved the raw answer before the request is sent. An uncompressed batch is read where it
// lies. A compressed one is unpacked into one buffer whose size is known first: snappy and LZ4 blocks tell it exactly, zstd blocks tell an
// upper bound, gzip tells it in its trailer. Options.Grow may refuse the size, and PeekSize tells what the next record takes before it is copied
// out. A refusal loses nothing: the decoder still stands before the same batch.
//
//	for {
//		info, ok, err := d.NextBatch() // ErrNoRoom: d.Release(), wait for room, again
//		if !ok || err != nil { break }
//		for {
//			size, ok := d.PeekSize()
//			if !ok { break }
//			admission.Reserve(size) // may block
//			rec, _, _ := d.Next()
//			...
//		}
//		_, _, err = d.Next() // false at the end of the batch; tells what is wrong with it, if anything
//		admission.Return(d.Release())
//	}
//
// Records own their memory: two allocations without headers, four with them. They outlive the answer, since an HTTP transport may still read
// a body after its attempt has ended.
//
// What a broker sends is not trusted: every length and count is compared with the bytes that are left before it is used. The formats are those of
// Kafka 0.11 and later (record batch v2, KIP-98, KIP-534); message sets before that are refused, as Kafka 4 has dropped them (KIP-724).
package fetch
