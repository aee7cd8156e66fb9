# Amazon MSK with IAM: no secret at all. The task's role may read this topic in this group, and write its dead letters.

variable "msk_cluster_arn" {
  description = "MSK cluster, provisioned or serverless."
  type        = string
}

variable "msk_security_group_id" {
  description = "Security group from which the brokers let clients in."
  type        = string
}

data "aws_msk_bootstrap_brokers" "this" {
  cluster_arn = var.msk_cluster_arn
}

module "orders_to_billing" {
  source = "../../modules/ecs-subscription"

  name              = "orders-to-billing"
  bootstrap_servers = data.aws_msk_bootstrap_brokers.this.bootstrap_brokers_sasl_iam
  msk               = { cluster_arn = var.msk_cluster_arn, iam = true }
  subscription = {
    source = "kafka://main/orders"
    sink   = "https://billing.internal.example.com/orders"
  }
  dead_letter = { topic = "orders-dead" }

  image              = var.image
  cluster_arn        = var.cluster_arn
  subnet_ids         = var.subnet_ids
  security_group_ids = [var.msk_security_group_id]

  alarms = { actions = [], lag = 50000, age_seconds = 3600 }
}
