package main

import (
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	pb "quarry/gen/go/quarry/v1"
)

const runsMax, breaksMax = 10, 5

// client is the stubs of one channel, which retries and balances as the service config says.
type client struct {
	pb.DataServiceClient
	pb.AdminServiceClient
	pb.TransactionServiceClient
}

func connect(address string) (*client, error) {
	config, err := os.ReadFile("proto/quarry/v1/service_config.json") // From the root of the repository.
	if err != nil {
		return nil, err
	}
	channel, err := grpc.NewClient(address, grpc.WithDefaultServiceConfig(string(config)),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &client{pb.NewDataServiceClient(channel), pb.NewAdminServiceClient(channel), pb.NewTransactionServiceClient(channel)}, nil
}

type columns = map[string]*pb.Value

func integer(x int64) *pb.Value  { return &pb.Value{Kind: &pb.Value_Int64Value{Int64Value: x}} }
func text(x string) *pb.Value    { return &pb.Value{Kind: &pb.Value_TextValue{TextValue: x}} }
func decimal(x string) *pb.Value { return &pb.Value{Kind: &pb.Value_DecimalValue{DecimalValue: x}} }

func instant(x time.Time) *pb.Value {
	return &pb.Value{Kind: &pb.Value_TimestampValue{TimestampValue: timestamppb.New(x.Truncate(time.Microsecond))}}
}

// errorInfo returns the reason and the facts of an error.
func errorInfo(failed *status.Status) *errdetails.ErrorInfo {
	for _, detail := range failed.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

// runTransaction runs body and commits; all of it again after ABORTED. It returns how often it ran.
func (c *client) runTransaction(ctx context.Context, body func(transaction string, run int) error) (int, error) {
	for run := 1; ; run++ {
		err := c.runOnce(ctx, body, run)
		if status.Code(err) != codes.Aborted || run == runsMax {
			return run, err
		}
		time.Sleep(rand.N(min(time.Second, 20*time.Millisecond<<run)))
	}
}

func (c *client) runOnce(ctx context.Context, body func(transaction string, run int) error, run int) error {
	begun, err := c.Begin(ctx, &pb.BeginRequest{})
	if err != nil {
		return err
	}
	if err := body(begun.TransactionId, run); err != nil {
		_, _ = c.Rollback(ctx, &pb.RollbackRequest{TransactionId: begun.TransactionId})
		return err
	}
	_, err = c.Commit(ctx, &pb.CommitRequest{TransactionId: begun.TransactionId, RequestId: uuid.NewString()})
	return err
}

// stream calls each with the rows of a query; a stream that breaks goes on after the last batch that came whole.
func (c *client) stream(ctx context.Context, query *pb.QueryRequest, each func(*pb.Row)) error {
	for breaks := 1; ; breaks++ {
		before := query.ResumeToken
		err := c.streamOnce(ctx, query, each)
		if query.ResumeToken != before {
			breaks = 1
		}
		if status.Code(err) != codes.Unavailable || breaks > breaksMax {
			return err
		}
	}
}

func (c *client) streamOnce(ctx context.Context, query *pb.QueryRequest, each func(*pb.Row)) error {
	events, err := c.Query(ctx, query)
	var batch []*pb.Row
	for err == nil {
		var event *pb.QueryResponse
		event, err = events.Recv()
		batch = append(batch, event.GetBatch().GetRows()...)
		if token := event.GetBatch().GetResumeToken(); token != "" || err == io.EOF {
			query.ResumeToken = cmp.Or(token, query.ResumeToken)
			for _, row := range batch {
				each(row)
			}
			batch = nil
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}
