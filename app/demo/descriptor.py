"""The API's messages, made from the descriptors that partners get too."""

from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from adapters.envoy.descriptor import descriptor_set_path


def message_class(name: str) -> Any:
    """Return the class of a message by its full name."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(descriptor_set_path().read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(name))
