// Ten steps through the sample shop.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/status"
	pb "quarry/gen/go/quarry/v1"
)

var customer = integer(rand.Int64N(1e15) + 1e6) // A new one in every run.

func key(number int64) *pb.Key { return &pb.Key{Values: []*pb.Value{customer, integer(number)}} }

func order(number int64, total string) *pb.Record {
	return &pb.Record{Columns: columns{"customer_id": customer, "order_id": integer(number),
		"total": decimal(total), "placed": instant(time.Now())}}
}

func must[T any](result T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return result
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	quarry := must(connect(cmp.Or(os.Getenv("QUARRY_ADDRESS"), "localhost:7400")))
	shards, up := must(quarry.ListShards(ctx, &pb.ListShardsRequest{})).Shards, 0
	for _, shard := range shards {
		if shard.State == pb.ServerState_SERVER_STATE_UP {
			up++
		}
	}
	fmt.Printf("1 connect: %d of %d shards are up\n", up, len(shards))

	ada := &pb.Record{Columns: columns{"customer_id": customer, "name": text("Ada"),
		"email": text("ada@example.com"), "country": text("GB"), "created": instant(time.Now())}}
	written := must(quarry.Insert(ctx, &pb.InsertRequest{Table: "customers", Record: ada, RequestId: uuid.NewString()}))
	insert := &pb.InsertRequest{Table: "orders", Record: order(1, "19.90"), RequestId: uuid.NewString()}
	together := must(quarry.Insert(ctx, insert)).ServedBy.ShardsAnswered[0] == written.ServedBy.ShardsAnswered[0]
	fmt.Printf("2 insert: a customer and an order, on one shard: %t\n", together)

	row := must(quarry.Get(ctx, &pb.GetRequest{Table: "orders", Key: key(1)})).Record.Columns
	fmt.Printf("3 get: order 1 is %s, total %s\n", row["status"].GetTextValue(), row["total"].GetDecimalValue())

	batch := &pb.BatchWriteRequest{RequestId: uuid.NewString()}
	for number := range int64(6) {
		mutation := &pb.InsertMutation{Table: "orders", Record: order(number+1, "10.00")}
		batch.Mutations = append(batch.Mutations, &pb.Mutation{Operation: &pb.Mutation_Insert{Insert: mutation}})
	}
	var refused []string
	for _, result := range must(quarry.BatchWrite(ctx, batch)).Results {
		if result.GetError() != nil {
			refused = append(refused, errorInfo(status.FromProto(result.GetError())).Reason)
		}
	}
	fmt.Printf("4 batch: %d orders written, %d refused: %s\n", 6-len(refused), len(refused), strings.Join(refused, ", "))

	list := &pb.ListRequest{Table: "orders", Filter: "customer_id = @customer AND total < @limit", PageSize: 2,
		Params: columns{"customer": customer, "limit": decimal("15.00")}}
	page := must(quarry.List(ctx, list))
	sizes := fmt.Sprint(len(page.Rows))
	for page.NextPageToken != "" {
		list.PageToken = page.NextPageToken
		page = must(quarry.List(ctx, list))
		sizes += fmt.Sprintf(" + %d", len(page.Rows))
	}
	fmt.Printf("5 pages: %s orders below 15.00\n", sizes)

	sum := &pb.AggregateRequest{Table: "orders", Filter: "customer_id = @customer", Params: columns{"customer": customer},
		Aggregates: []*pb.AggregateTerm{{Function: pb.AggregateFunction_AGGREGATE_FUNCTION_COUNT},
			{Function: pb.AggregateFunction_AGGREGATE_FUNCTION_SUM, Column: "total"}}}
	totals := must(quarry.Aggregate(ctx, sum)).Rows[0].Values
	fmt.Printf("6 aggregate: %d orders, %s in total\n", totals[0].GetInt64Value(), totals[1].GetDecimalValue())

	// Pays order 1 if it still is as it was read, and cancels order 2: both or neither.
	runs := must(quarry.runTransaction(ctx, func(transaction string, run int) error {
		seen := must(quarry.Get(ctx, &pb.GetRequest{Table: "orders", Key: key(1)}))
		if run == 1 { // Another writer, just in time to be in the way.
			change := &pb.Record{Columns: columns{"total": decimal("24.90")}}
			must(quarry.Update(ctx, &pb.UpdateRequest{Table: "orders", Key: key(1), Record: change, RequestId: uuid.NewString()}))
		}
		paid := &pb.Record{Columns: columns{"status": text("paid")}}
		_, err := quarry.Update(ctx, &pb.UpdateRequest{Table: "orders", Key: key(1), Record: paid, TransactionId: transaction,
			Precondition: &pb.Precondition{Etag: seen.Etag}})
		if err == nil {
			cancelled := &pb.Record{Columns: columns{"status": text("cancelled")}}
			_, err = quarry.Update(ctx, &pb.UpdateRequest{Table: "orders", Key: key(2), Record: cancelled, TransactionId: transaction})
		}
		return err
	}))
	fmt.Printf("7 transaction: committed in run %d, after ABORTED\n", runs)

	insert = &pb.InsertRequest{Table: "orders", Record: order(7, "5.00"), RequestId: uuid.NewString()}
	must(quarry.Insert(ctx, insert))
	again := must(quarry.Insert(ctx, insert)) // As after an answer that was lost.
	fmt.Printf("8 exactly once: sent twice, the second answer is a replay: %t\n", again.Replayed)

	insert.RequestId = uuid.NewString()
	_, err := quarry.Insert(ctx, insert)
	info := errorInfo(status.Convert(err))
	fmt.Printf("9 error: %s of %s\n", info.GetReason(), info.GetMetadata()["constraint"])

	items, different := 0, map[string]bool{}
	query := &pb.QueryRequest{Table: "order_items", Filter: "customer_id <= 200"}
	must(0, quarry.stream(ctx, query, func(row *pb.Row) { items++; different[row.String()] = true }))
	fmt.Printf("10 stream: %d items, %d different\n", items, len(different))
}
