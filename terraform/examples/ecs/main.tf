# One subscription of a cluster with SASL, its secrets in Secrets Manager, with alarms and scaling.

variable "kafka_secret_arn" {
  description = "Secret with the JSON {\"username\": …, \"password\": …}."
  type        = string
}

variable "alarm_topic_arn" {
  description = "SNS topic that alarms go to."
  type        = string
}

module "orders_to_billing" {
  source = "../../modules/ecs-subscription"

  name              = "orders-to-billing"
  bootstrap_servers = var.bootstrap_servers
  subscription = {
    source  = "kafka://my-cluster/orders"
    sink    = "https://billing.internal.example.com/orders"
    options = { "security.protocol" = "sasl_ssl", "sasl.mechanism" = "SCRAM-SHA-512" }
  }
  secrets = {
    KAFKA_OPTION_SASL_USERNAME = "${var.kafka_secret_arn}:username::"
    KAFKA_OPTION_SASL_PASSWORD = "${var.kafka_secret_arn}:password::"
  }
  retry       = { max_attempts = 10 }
  dead_letter = { topic = "orders-dead" }

  image       = var.image
  cluster_arn = var.cluster_arn
  subnet_ids  = var.subnet_ids

  scaling = { min = 1, max = 6, target_lag = 5000, partitions = 6 }
  alarms  = { actions = [var.alarm_topic_arn], lag = 50000, age_seconds = 3600, dead_letters = 0 }
}
