package example;

import com.google.gson.Gson;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import quarry.v1.AdminServiceGrpc;
import quarry.v1.BeginRequest;
import quarry.v1.CommitRequest;
import quarry.v1.DataServiceGrpc;
import quarry.v1.QueryRequest;
import quarry.v1.QueryResponse;
import quarry.v1.RollbackRequest;
import quarry.v1.Row;
import quarry.v1.TransactionServiceGrpc;

/** The stubs of one channel, which retries and balances as the service config says. */
final class Client implements AutoCloseable {
  interface Body {
    void run(String transaction, int run);
  }

  private static final String SERVICE_CONFIG = "proto/quarry/v1/service_config.json"; // From the root of the repository.
  private static final int RUNS_MAX = 10;
  private static final int BREAKS_MAX = 5;

  private final ManagedChannel channel;
  final AdminServiceGrpc.AdminServiceBlockingStub admin;
  final DataServiceGrpc.DataServiceBlockingStub data;
  final TransactionServiceGrpc.TransactionServiceBlockingStub transactions;

  @SuppressWarnings("unchecked")
  Client(String address) throws IOException {
    Map<String, ?> config = new Gson().fromJson(Files.readString(Path.of(SERVICE_CONFIG)), Map.class);
    channel = NettyChannelBuilder.forTarget(address).usePlaintext().defaultServiceConfig(config).build();
    admin = AdminServiceGrpc.newBlockingStub(channel);
    data = DataServiceGrpc.newBlockingStub(channel);
    transactions = TransactionServiceGrpc.newBlockingStub(channel);
  }

  @Override
  public void close() {
    channel.shutdown();
  }

  /** Runs body and commits; all of it again after ABORTED. Returns how often it ran. */
  int runTransaction(Body body) throws InterruptedException {
    for (int run = 1; ; ++run) {
      try {
        runOnce(body, run);
        return run;
      } catch (StatusRuntimeException error) {
        if (error.getStatus().getCode() != Status.Code.ABORTED || run == RUNS_MAX) throw error;
      }
      TimeUnit.MILLISECONDS.sleep(ThreadLocalRandom.current().nextLong(Math.min(1000, 20L << run)));
    }
  }

  private void runOnce(Body body, int run) {
    String transaction = transactions.begin(BeginRequest.getDefaultInstance()).getTransactionId();
    try {
      body.run(transaction, run);
    } catch (RuntimeException error) {
      transactions.rollback(RollbackRequest.newBuilder().setTransactionId(transaction).build());
      throw error;
    }
    transactions.commit(CommitRequest.newBuilder().setTransactionId(transaction).setRequestId(Values.newId()).build());
  }

  /** Gives each row of a query to `each`; a stream that breaks goes on after the last batch that came whole. */
  void stream(QueryRequest.Builder query, Consumer<Row> each) {
    for (int breaks = 0; ; ++breaks) {
      List<Row> batch = new ArrayList<>();
      try {
        Iterable<QueryResponse> events = () -> data.withDeadlineAfter(60, TimeUnit.SECONDS).query(query.build());
        for (QueryResponse event : events) {
          batch.addAll(event.getBatch().getRowsList());
          if (event.getBatch().getResumeToken().isEmpty()) continue;
          query.setResumeToken(event.getBatch().getResumeToken());
          batch.forEach(each);
          batch.clear();
          breaks = 0;
        }
        batch.forEach(each);
        return;
      } catch (StatusRuntimeException error) {
        if (error.getStatus().getCode() != Status.Code.UNAVAILABLE || breaks == BREAKS_MAX) throw error;
      }
    }
  }
}
