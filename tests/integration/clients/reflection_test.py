"""Reflection is enough to call the gateway: no generated code, only what it tells about itself."""

import os
import unittest

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

TIMEOUT = 20


class Reflection(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.channel = grpc.insecure_channel(os.environ["QUARRY_ADDRESS"])
        cls.addClassCleanup(cls.channel.close)
        cls.database = ProtoReflectionDescriptorDatabase(cls.channel)
        cls.pool = DescriptorPool(cls.database)

    def test_it_lists_every_service(self):
        services = set(self.database.get_services())
        own = {f"quarry.v1.{name}Service" for name in ("Data", "Shard", "Transaction", "Schema", "Admin", "Lock", "Peer")}
        standard = {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                    "grpc.reflection.v1alpha.ServerReflection"}
        self.assertEqual(own | standard, services)

    def test_both_versions_answer(self):
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="quarry.v1.DataService")
        for version in ("v1", "v1alpha"):
            # The messages of both versions are the same on the wire.
            ask = self.channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
            replies = list(ask(iter([request]), timeout=TIMEOUT))
            self.assertEqual(len(replies), 1, version)
            self.assertTrue(replies[0].file_descriptor_response.file_descriptor_proto, version)

    def test_an_unknown_symbol_is_an_answer_and_the_stream_goes_on(self):
        stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)
        asked = [reflection_pb2.ServerReflectionRequest(file_containing_symbol="quarry.v1.Nothing"),
                 reflection_pb2.ServerReflectionRequest(file_by_filename="quarry/v1/value.proto")]
        replies = list(stub.ServerReflectionInfo(iter(asked), timeout=TIMEOUT))
        self.assertEqual(replies[0].error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])
        self.assertTrue(replies[1].file_descriptor_response.file_descriptor_proto)

    def test_a_row_is_read_with_what_reflection_told(self):
        method = self.pool.FindServiceByName("quarry.v1.DataService").FindMethodByName("Get")
        request = json_format.ParseDict({"table": "customers", "key": {"values": [{"int64Value": "42"}]}},
                                        message_factory.GetMessageClass(method.input_type)())
        reply_class = message_factory.GetMessageClass(method.output_type)
        get = self.channel.unary_unary("/quarry.v1.DataService/Get",
                                       request_serializer=lambda message: message.SerializeToString(),
                                       response_deserializer=reply_class.FromString)
        reply = json_format.MessageToDict(get(request, timeout=TIMEOUT))
        self.assertEqual(reply["record"]["columns"]["email"], {"textValue": "customer42@example.com"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
