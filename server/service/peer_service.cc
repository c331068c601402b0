// PeerService, and what AdminService tells of gateways.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/rpc_status.h"
#include "core/engine/engine.h"
#include "core/topology/peer_table.h"
#include "core/txn/transaction_id.h"
#include "quarry/v1/admin.pb.h"
#include "quarry/v1/peer.pb.h"
#include "server/service/services.h"
#include "server/translate/response.h"

namespace quarry {
namespace {

v1::GatewayState ToWire(PeerState state) {
  switch (state) {
    case PeerState::kUnasked:
      return v1::GATEWAY_STATE_UNSPECIFIED;
    case PeerState::kServing:
      return v1::GATEWAY_STATE_SERVING;
    case PeerState::kSilent:
      return v1::GATEWAY_STATE_SILENT;
    case PeerState::kSelf:
      return v1::GATEWAY_STATE_SELF;
    case PeerState::kOtherDeployment:
      return v1::GATEWAY_STATE_OTHER_DEPLOYMENT;
  }
  return v1::GATEWAY_STATE_UNSPECIFIED;
}

void FillIdentity(const PeerIdentity& identity, v1::Gateway* wire) {
  wire->set_instance(InstanceText(identity.instance));
  wire->set_deployment(identity.deployment);
  wire->set_version(identity.version);
}

Async<absl::Status> ListGateways(const PeerTable* peers, v1::ListGatewaysResponse& response, CallScope& scope) {
  bool found_self = false;
  for (const Peer& peer : peers->peers()) {
    v1::Gateway* wire = response.add_gateways();
    wire->set_address(peer.address);
    wire->set_state(ToWire(peer.state));
    if (peer.identity.instance != 0) FillIdentity(peer.identity, wire);
    if (!peer.last_error.ok()) *wire->mutable_last_error() = ToRpcStatus(peer.last_error);
    if (peer.since != absl::InfinitePast()) FillTime(peer.since, wire->mutable_state_since());
    found_self = found_self || peer.state == PeerState::kSelf;
  }
  if (!found_self) {
    v1::Gateway* wire = response.add_gateways();
    wire->set_state(v1::GATEWAY_STATE_SELF);
    FillIdentity(peers->self(), wire);
  }
  FillServedByGateway(scope.engine->snapshot()->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

}  // namespace

void AddPeers(RpcTable& table, const PeerTable& peers) {
  const PeerTable* known = &peers;
  table.AddUnary<v1::IdentifyRequest, v1::IdentifyResponse>(
      "quarry.v1.PeerService", "Identify",
      [known](const v1::IdentifyRequest&, v1::IdentifyResponse& response, CallScope&) -> Async<absl::Status> {
        response.set_instance(InstanceText(known->self().instance));
        response.set_deployment(known->self().deployment);
        response.set_version(known->self().version);
        co_return absl::OkStatus();
      });
  table.AddUnary<v1::ListGatewaysRequest, v1::ListGatewaysResponse>(
      "quarry.v1.AdminService", "ListGateways",
      [known](const v1::ListGatewaysRequest&, v1::ListGatewaysResponse& response, CallScope& scope) {
        return ListGateways(known, response, scope);
      });
}

}  // namespace quarry
