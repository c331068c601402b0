package example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Timestamp;
import com.google.rpc.ErrorInfo;
import java.time.Instant;
import java.util.Map;
import java.util.UUID;
import quarry.v1.Record;
import quarry.v1.Value;

/** Values of columns, ids of requests, and what errors say. */
final class Values {
  static Value integer(long x) {
    return Value.newBuilder().setInt64Value(x).build();
  }

  static Value text(String x) {
    return Value.newBuilder().setTextValue(x).build();
  }

  static Value decimal(String x) {
    return Value.newBuilder().setDecimalValue(x).build();
  }

  /** Exact to the microsecond, as the databases are. */
  static Value timestamp(Instant x) {
    int nanos = x.getNano() / 1000 * 1000;
    return Value.newBuilder().setTimestampValue(Timestamp.newBuilder().setSeconds(x.getEpochSecond()).setNanos(nanos)).build();
  }

  static Record.Builder record(Map<String, Value> columns) {
    return Record.newBuilder().putAllColumns(columns);
  }

  /** The reason and the facts of an error. */
  static ErrorInfo errorInfo(com.google.rpc.Status status) throws InvalidProtocolBufferException {
    for (Any detail : status.getDetailsList()) {
      if (detail.is(ErrorInfo.class)) return detail.unpack(ErrorInfo.class);
    }
    return ErrorInfo.getDefaultInstance();
  }

  static String newId() {
    return UUID.randomUUID().toString();
  }
}
